"""What is known of a paper as a document."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper: how it is cited."""

    key: str
    title: str
    authors: tuple[str, ...]
    year: int
    arxiv: str
    venue: str = ""

    @property
    def reference(self) -> str:
        """One line for a list of references."""
        venue = f" {self.venue}." if self.venue else ""
        return f"{', '.join(self.authors)} ({self.year}). {self.title}.{venue} arXiv:{self.arxiv}."

    @property
    def bibtex(self) -> str:
        """The entry for a bibliography."""
        venue = f"  journal = {{{self.venue}}},\n" if self.venue else ""
        return (
            f"@article{{{self.key},\n  title = {{{self.title}}},\n"
            f"  author = {{{' and '.join(self.authors)}}},\n  year = {{{self.year}}},\n"
            f"{venue}  eprint = {{{self.arxiv}}},\n  archivePrefix = {{arXiv}}\n}}"
        )
