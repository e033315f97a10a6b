"""The class list: who may be meant by the names, numbers and addresses in a download."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A student as a download names them.

    Attributes:
        number: the platform's, "" if there is none.
        last_first: the name is written with the last name first, as Canvas does.
    """

    name: str
    number: str = ""
    last_first: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.number})" if self.number else self.name


@dataclass
class Roster:
    """Student ids by all that a download may call them.

    Read from a CSV file with a column `id`, and any of `name`, `first_name`, `last_name`, `email`, `lms_id`.

    Attributes:
        claims: who may be meant by a key; one that several students claim belongs to none of them.
        swapped: the same for names with the last name first.
    """

    claims: dict[str, set[str]] = field(default_factory=dict)
    swapped: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Roster:
        """
        Raises:
            ValueError: the file cannot be read, has no column `id`, or an id that is no folder name.
        """
        claims, swapped = defaultdict(set), defaultdict(set)
        for row in _rows(path):
            student = row.get("id", "")
            if not re.fullmatch(r"[\w@-][\w.@-]*", student):
                raise ValueError(f"{path}: every row needs an `id` that can name a folder, got {student!r}")
            first, last = row.get("first_name", ""), row.get("last_name", "")
            email = row.get("email", "")
            names = [row.get("name", ""), f"{first} {last}", email, email.split("@")[0]]
            for name in (student, row.get("lms_id", ""), *names):
                claims[key(name)].add(student)
            swapped[key(f"{last} {first}")].add(student)
        for table in (claims, swapped):
            table.pop("", None)
        return cls(dict(claims), dict(swapped))

    @property
    def ids(self) -> set[str]:
        return set().union(*self.claims.values())

    def find(self, owner: Owner) -> set[str]:
        """The ids that may be meant: none, one, or several between which nothing decides.

        The number and the name must not speak for different students.
        """
        numbers = self.claims.get(key(owner.number), set())
        names = self._called(owner)
        return (numbers & names) or (numbers | names)

    def _called(self, owner: Owner) -> set[str]:
        """Whose name it is. Only Canvas writes last names first; elsewhere a swapped name is a guess."""
        straight, swapped = (table.get(key(owner.name), set()) for table in (self.claims, self.swapped))
        return straight | swapped if owner.last_first else straight or swapped


def key(text: str) -> str:
    """A name without accents, case, blanks and punctuation, to compare it with others."""
    return re.sub(r"[^\w@]+|_", "", plain(text).casefold())


def plain(text: str) -> str:
    """Without accents: é -> e."""
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)
    )


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by column names in lower case."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(f"the roster {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"the roster {path} is no CSV file in UTF-8: {error}") from error
    return [
        {(name or "").strip().lower(): (value or "").strip() for name, value in row.items() if name}
        for row in rows
    ]
