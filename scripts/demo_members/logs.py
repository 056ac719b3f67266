"""Real readings of a plant -> CSV files of some members, no cell at two of them."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Logging(NamedTuple):
    """Which tags a member logs, from which row (of 3,169), for how many days, and how many days a file."""

    tags: str
    first_row: int
    days: int
    days_a_file: int
    cp932: bool


ROWS_A_DAY = 288  # one in five minutes
# Each logger starts at another time of the day: else two members' records of the same hours would begin alike.
LOGGINGS = {
    "asanagi-seiki": Logging("tag34 tag7 tag68", 0, 4, 2, True),
    "samidare-kiko": Logging("tag8 tag15 tag26 tag71", 4 * ROWS_A_DAY + 4, 4, 2, False),
    "yoiyami-keisoku": Logging("tag36 tag18 tag58", 2 * ROWS_A_DAY + 8, 3, 1, True),
    "shinonome-seigyo": Logging("tag22 tag60 tag73 tag98", 5 * ROWS_A_DAY + 12, 4, 1, True),
    "hatsuyuki-chuzo": Logging("tag2 tag19 tag31 tag75 tag89", 16, 8, 2, True),
    "uzushio-ponpu": Logging("tag70 tag72 tag23 tag78", 20, 9, 3, False),
}


def csv_files(member: str, tags: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[tuple[str, bytes, int]]:
    """(name, bytes, rows) of the member's log files; nothing for most members.

    CP932 ones look as a spreadsheet writes them (`2017/12/24 0:05`, CRLF), the others as a program does, with a mark.
    """
    logging = LOGGINGS.get(member)
    if logging is None:
        return
    columns = [tags.index(tag) + 1 for tag in logging.tags.split()]
    for day in range(0, logging.days, logging.days_a_file):
        start = logging.first_row + day * ROWS_A_DAY
        part = rows[start : start + logging.days_a_file * ROWS_A_DAY]
        target = io.StringIO()
        writer = csv.writer(target, lineterminator="\r\n" if logging.cp932 else "\n")
        writer.writerow(["日時", *logging.tags.split()])
        writer.writerows([_time(row[0], logging.cp932), *(row[column] for column in columns)] for row in part)
        name = f"ログ/{member.partition('-')[0]}_{part[0][0][:10].replace('-', '')}"
        yield f"{name}.csv", target.getvalue().encode("cp932" if logging.cp932 else "utf-8-sig"), len(part)


def _time(time: str, as_spreadsheets_do: bool) -> str:
    if not as_spreadsheets_do:
        return time
    day, clock = time.split()
    hour, minute, _ = clock.split(":")
    return f"{day.replace('-', '/')} {int(hour)}:{minute}"
