"""Texts that a spreadsheet would compute are written so that it does not, and read as they were."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from results.cells import as_csv, as_written

TEXTS = st.text(st.sampled_from("'=+-@ab1.\t"), min_size=1, max_size=5)


@given(st.lists(TEXTS, min_size=1, max_size=6, unique=True))
def test_texts_come_back_and_nothing_is_computed(texts: list[str]) -> None:
    import io

    written = as_csv(pd.DataFrame({"image": texts}))
    read = pd.read_csv(io.StringIO(written), dtype=str, keep_default_na=False)
    for cell in read.image:
        assert not cell.startswith(("=", "@", "\t")) or len(cell) == 1
    kept = [text for text in texts if not _is_number(text)]
    back = as_written(read, ["image"]).image.tolist()
    assert [text for text in back if text in kept or not _is_number(text)] == kept


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
