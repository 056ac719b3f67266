"""The kinds of personal and secret data, and what stands for a find of each once it is masked."""

from dataclasses import dataclass

from federation.errors import Language


@dataclass(frozen=True)
class Kind:
    """One line of `[modes]` in personal.toml. `placeholder` replaces what is masked."""

    name: str
    en: str
    ja: str

    @property
    def placeholder(self) -> str:
        """In brackets that no marks of confidentiality and no tables use by themselves."""
        return f"［{self.ja}］"

    def text(self, language: Language) -> str:
        """The kind, for a person."""
        return self.ja if language == "ja" else self.en


@dataclass(frozen=True)
class Find:
    """`kind` at text[start:end]. It holds no text, so that it may be shown anywhere."""

    kind: str
    start: int
    end: int


# Where two finds overlap, the kind that comes first names them both.
KINDS = {
    kind.name: kind
    for kind in (
        Kind("secret", "passwords, keys and tokens", "秘密情報"),
        Kind("my_number", "My Number", "個人番号"),
        Kind("mail", "mail addresses", "メールアドレス"),
        Kind("phone", "telephone numbers", "電話番号"),
        Kind("employee", "employee numbers", "社員番号"),
        Kind("address", "postal addresses", "住所"),
        Kind("name", "names of persons", "氏名"),
        Kind("own", "this site's own words and patterns", "社内指定"),
        Kind("ip", "IP addresses", "IPアドレス"),
    )
}
