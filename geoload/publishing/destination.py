"""Where rows are published: a folder or a repository, its present contents, and who may read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from geoload.publishing.card import ExistingCard
from geoload.publishing.spec import Settings
from geoload.publishing.upload import Repository

_MAX_CARD = 2**18


@dataclass
class Destination:
    """A folder, or a repository that is filled from the folder."""

    folder: Path
    repository: Repository | None
    settings: Settings
    private_option: str  # because of which the repository must be private, or ""
    card: ExistingCard = field(default_factory=ExistingCard)  # as of the last `refresh`

    @property
    def name(self) -> str:
        """The repository's name, or the folder's path: what `load_dataset` takes."""
        return str(self.folder) if self.repository is None else self.repository.repo_id

    def refresh(self, names: Collection[str]) -> None:
        """Read the present contents; ValueError if these configurations cannot be added."""
        if self.repository is not None:
            self.repository.refresh()
        try:
            self.card = ExistingCard(self._read_card())
            if self.card.foreign:
                raise ValueError("it has a README.md that `publish` did not write")
        except ValueError as error:
            if not self.settings.replace:
                raise ValueError(
                    f"{self.name}: {error}. Repair it, name another destination, or give --replace "
                    "to write a new README.md, which drops what was published there earlier."
                ) from None
            self.card = ExistingCard()
        if any(entry.suffixes - {self.settings.suffix} for entry in self.card.without(names)):
            raise ValueError(
                "The repository holds configurations in the other format, and load_dataset reads "
                "one format per repository: publish all again with --configs, or use another "
                "repository."
            )
        self.check_readers(names)

    def _read_card(self) -> str:
        path = self.folder / "README.md"
        try:
            if self.repository is not None:
                text = self.repository.card()
            else:
                text = path.read_text(encoding="utf-8") if path.exists() else ""
        except UnicodeDecodeError:
            raise ValueError("its README.md is not UTF-8 text") from None
        if len(text) > _MAX_CARD:
            raise ValueError(f"its README.md is longer than {_MAX_CARD:,} characters")
        return text

    def check_splits(self, splits: Mapping[str, Collection[str]]) -> None:
        """Refuse to remove splits of configurations that were published earlier."""
        published = {name: entry.splits for name, entry in self.card.entries.items()}
        gone = {name: sorted(set(published.get(name, ())) - set(splits[name])) for name in splits}
        text = "; ".join(f"{config}: {', '.join(names)}" for config, names in gone.items() if names)
        if text and not self.settings.replace:
            raise ValueError(
                f"{self.name} has splits that this run would remove ({text}). Publish them "
                "together with these (what has arrived is not sent again), or give --replace."
            )

    def check_readers(self, names: Collection[str]) -> bool:
        """Return whether the repository is private; ValueError if it should be and is not."""
        if self.repository is None:
            return False
        # Configurations that were published earlier may also require a private repository.
        marked = any(entry.notes for entry in self.card.without(names))
        private = self.repository.is_private()
        if private and marked and not self.settings.private:
            raise ValueError(
                f"{self.name} holds photos that may not be redistributed: leave out --public, or "
                "publish into another repository."
            )
        if not private and (marked or self.private_option):
            without = f", or leave out {self.private_option}" if self.private_option else ""
            raise ValueError(
                f"{self.name} is public, and photos in it may not be redistributed: make it "
                f"private in its settings{without}."
            )
        if not private and self.settings.private:
            raise ValueError(
                f"{self.name} exists and is public: give --public, or make it private in its "
                "settings."
            )
        return private
