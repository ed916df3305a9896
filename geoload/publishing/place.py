"""Where rows are published: a folder or a repository, what it holds so far, and who may read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from geoload.publishing.card import Old, check_form
from geoload.publishing.upload import Repository

_MAX_CARD = 2**18


@dataclass
class Place:
    """A place, as it is before the rows come; `look` looks again.

    Attributes
    ----------
    folder : Path
        Where the rows are converted.
    repository : Repository, optional
        Where they are sent. Without one the folder is all.
    suffix : str
        Of the files to come.
    private : bool
        The repository was to be private.
    only_private : bool
        Nobody else may read what is to come.
    replace : bool
        Splits and a README.md that stand in the way may be taken away.
    there : dict
        The repository's files, as `Repository.listing` gives them.
    old : Old
        The card.
    """

    folder: Path
    repository: Repository | None
    suffix: str
    private: bool
    only_private: bool
    replace: bool
    there: dict[str, tuple[int, str]] = field(default_factory=dict)
    old: Old = field(default_factory=Old)

    @property
    def name(self) -> str:
        """The repository's name, or the folder's path: what `load_dataset` takes."""
        return str(self.folder) if self.repository is None else self.repository.repo_id

    def look(self, names: Collection[str]) -> None:
        """Look what is there, and refuse a place where some configurations cannot go.

        Raises
        ------
        ValueError
            With what to do instead.
        """
        if self.repository is not None:
            self.there = self.repository.listing()
        try:
            self.old = Old(self._card())
        except ValueError as error:
            if not self.replace:
                raise ValueError(
                    f"{self.name}: {error}. Mend it, or say --replace, and a new one takes its "
                    "place, without what was published there earlier."
                ) from None
            self.old = Old()
        if self.old.foreign and not self.replace:
            raise ValueError(
                f"{self.name} has a README.md that `publish` did not write. Name another place, or "
                "say --replace, and this one takes its place."
            )
        self.old = Old() if self.old.foreign else self.old
        check_form(self.old, names, self.suffix)
        self.check_readers(names)

    def _card(self) -> str:
        """Return the text of the card; empty where there is none."""
        path = self.folder / "README.md"
        try:
            if self.repository is not None:
                text = self.repository.card(self.there)
            else:
                text = path.read_text(encoding="utf-8") if path.exists() else ""
        except UnicodeDecodeError:
            raise ValueError("its README.md is no UTF-8 text") from None
        if len(text) > _MAX_CARD:
            raise ValueError(f"its README.md is longer than {_MAX_CARD:,} characters")
        return text

    def check_splits(self, splits: Mapping[str, Collection[str]]) -> None:
        """Refuse to take splits of configurations away that were published earlier."""
        gone = {name: sorted(set(self.old.splits(name)) - set(splits[name])) for name in splits}
        said = "; ".join(f"{config}: {', '.join(names)}" for config, names in gone.items() if names)
        if said and not self.replace:
            raise ValueError(
                f"{self.name} has splits that this run would take away ({said}). Publish them "
                "together with these (what has arrived is not sent again), or say --replace."
            )

    def check_readers(self, names: Collection[str]) -> bool:
        """Tell whether the repository is private; refuse it where it should be and is not.

        The configurations that stay beside some others may have to be private, too.
        """
        if self.repository is None:
            return False
        marked = any(self.old.notes(name) for name in self.old.names(but=names))
        private = self.repository.check_readers(self.private, self.only_private or marked)
        if private and marked and not self.private:
            raise ValueError(
                f"{self.name} holds photos that may not be redistributed: leave --public out, or "
                "publish into another repository."
            )
        return private
