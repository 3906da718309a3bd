"""Print the answers: ``python -m examples.questions [SUBJECT ...]``."""

import argparse
from importlib import import_module
from pathlib import Path

from examples.questions import SUBJECTS, page


def main():
    """Print the pages that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m examples.questions", description=page.ABOUT)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--pictures", type=Path, default=Path("out/questions"), metavar="FOLDER")
    given = parser.parse_args()
    for subject in given.subjects:
        if subject not in SUBJECTS:
            parser.error(f"no page is called {subject!r}; there are {', '.join(SUBJECTS)}")
    for subject in given.subjects or SUBJECTS:
        import_module(f"examples.questions.{subject}").answer(given.pictures)


if __name__ == "__main__":
    main()
