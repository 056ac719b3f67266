"""What an honest member refuses: each a distinct error, logged at the site and told to the coordinator by its code.

A refusal is a normal event of the protocol, not a crash. `Malformed` and `SignatureInvalid` complete the list.
"""

from federation.errors import RengoError


class Refusal(RengoError):
    """This member refused a request: {detail}."""

    ja = "この参加拠点は要求を拒否しました: {detail}。"
    exit_code = 11


class PlanNotApproved(Refusal):
    """The plan {plan} is not the one that runs at this site: it is not approved here, or not taken up yet."""

    ja = "計画 {plan} はこの拠点で動作中の計画ではありません（未承認、または切り替え前です）。"


class ThreatNotPermitted(Refusal):
    """The plan's `secagg.threat` is {threat}: the coordinator is trusted while a round's keys are collected. This
    site's policy does not permit that."""

    ja = (
        "計画の `secagg.threat` は {threat} です（鍵を集める間は事務局を信頼する方式）。"
        "この拠点の社内許可条件では認められていません。"
    )


class RosterNotApproved(Refusal):
    """The roster {roster} is not the one that this site has approved."""

    ja = "参加者名簿 {roster} はこの拠点で承認されたものではありません。"


class BaseModelDiffers(Refusal):
    """The round is for base model {expected}, this site has {actual}."""

    ja = "この学習回の基盤モデル {expected} は、この拠点のもの {actual} と異なります。"


class WrongTerms(Refusal):
    """The request's {what} is {actual}, this site's is {expected}."""

    ja = "要求の {what} は {actual} で、この拠点の {expected} と異なります。"


class CohortTooSmall(Refusal):
    """Only {count} members are in {step}; at least {needed} are needed for the sum to hide each of them."""

    ja = "{step} の参加拠点は {count} だけです。一社ごとの値を隠すには {needed} 以上が必要です。"


class NotIncluded(Refusal):
    """This member's own {step} is missing from, or different in, what the coordinator shows."""

    ja = "事務局の示す内容に、この拠点自身の {step} がないか、異なります。"


class UnknownMember(Refusal):
    """{member} is not a member of this round's {step}."""

    ja = "{member} はこの学習回の {step} の参加者ではありません。"


class Duplicated(Refusal):
    """{what} occurs twice."""

    ja = "{what} が重複しています。"


class BadPoint(Refusal):
    """The {what} of {member} is not a safe X25519 public key."""

    ja = "{member} の {what} は安全な X25519 公開鍵ではありません。"


class SurvivorsInconsistent(Refusal):
    """The members named gone and those shown alive do not make up the cohort exactly: {detail}."""

    ja = "「脱落」と「存続」を合わせても参加者の集合と一致しません: {detail}。"


class NeighboursDiffer(Refusal):
    """The {step} shown are not those of this member's neighbours: {detail}."""

    ja = "示された {step} は、この拠点の隣接拠点のものと一致しません: {detail}。"


class TooFewSignatures(Refusal):
    """Only {count} distinct members signed this survivor set; {needed} are needed."""

    ja = "この存続者集合に署名した拠点は {count} だけです（必要数 {needed}）。"


class NotAllowedHere(Refusal):
    """A {kind} is not expected now ({state}). Nothing was answered."""

    ja = "いまは {kind} を受け付けられません（{state}）。"


class Conflicting(Refusal):
    """A different {kind} was already answered for round {round}, attempt {attempt}. {kept}"""

    ja = "学習回 {round}・試行 {attempt} では既に別の {kind} に応答済みです。{kept_ja}"


class Closed(Refusal):
    """Round {round}, attempt {attempt} is closed for this member: {detail}."""

    ja = "学習回 {round}・試行 {attempt} は、この拠点では終了しています: {detail}。"


class AdapterSpent(Refusal):
    """This member already helped to open a sum on adapter {adapter}; a second one could single a member out. A new job
    needs a plan with another `seed`."""

    ja = (
        "追加学習差分 {adapter} では既に合計を開示しました。二度目は一社を特定しうるため拒否します。"
        "新しいジョブの計画には別の `seed` を指定してください。"
    )


class AdapterUnexplained(Refusal):
    """The adapter is not the one that this member computes: {difference}."""

    ja = "追加学習差分が、この拠点で計算したものと一致しません（{difference}）。"


class RoundUnproven(Refusal):
    """Nothing shows that round {round} took place among enough members: {detail}. An adapter from nowhere is not
    trained on."""

    ja = "学習回 {round} が十分な拠点で行われた証拠がありません: {detail}。出所不明の差分では学習しません。"


class DataSetBusy(Refusal):
    """Job {open_job} is still open on this data set. If it will not go on, close it at this site before {job}:
    `rengo member close {open_job}`."""

    ja = (
        "このデータではジョブ {open_job} が終わっていません。続けないなら、{job} の前にこの拠点で閉じてください:"
        " `rengo member close {open_job}`"
    )


class JobClosed(Refusal):
    """Job {job} was closed at this site. Nothing is answered in it any more."""

    ja = "ジョブ {job} はこの拠点で終了済みです。今後は何も応答しません。"


class RoundsExhausted(Refusal):
    """This data set has taken part in {count} rounds; the site's policy allows {limit}."""

    ja = "このデータは既に {count} 回の学習に参加しました（社内許可条件の上限 {limit}）。"


class OutOfTime(Refusal):
    """Training or evaluation took longer than the {seconds} s of the plan's `deadlines.training`. It was stopped:
    the round has gone on without this member."""

    ja = (
        "学習または評価が計画の `deadlines.training`（{seconds} 秒）を超えたため中止しました。"
        "この学習回は、この拠点を待たずに進んでいます。"
    )


class OutsideHours(Refusal):
    """This site trains from {start} to {end} only (its local time), and it is {now} there."""

    ja = "この拠点の学習時間帯は {start} から {end}（現地時刻）です。現在 {now} です。"
