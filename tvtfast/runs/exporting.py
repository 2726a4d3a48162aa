"""A score store as one Parquet file."""

from __future__ import annotations

import os
from pathlib import Path

from tvtfast.common.files import replacing
from tvtfast.common.optional import need
from tvtfast.scoring.cells import canonical
from tvtfast.scoring.store_queries import contexts, opened, rows

_ROWS = 50_000
"""In memory at a time."""


def export_store(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> int:
    """Write all scores of a store; returns how many there are.

    The columns: ``proxy``, ``candidate`` (canonical JSON), ``value`` (null unless ``status`` is
    ``ok``), ``status``, ``reason``, ``seconds``, ``depends_on`` (canonical JSON of all that the
    score depends on beside the candidate) and ``key`` (SHA-256, hexadecimal). Rows are in the order
    in which the scores came into the file.

    Args:
        path: The store.
        target: The file, which is replaced when all is written.

    Raises:
        StoreError: There is no store, or it cannot be read.
        FullDiskError: There is no space for the file.
        ModuleNotFoundError: pyarrow is not installed: ``pip install 'tvtfast[parquet]'``.
    """
    need("pyarrow", "14", what="a Parquet file", extra="parquet")
    import pyarrow as pa
    from pyarrow import parquet

    text, repeated = pa.string(), pa.dictionary(pa.int32(), pa.string())
    columns = {
        "proxy": repeated,
        "candidate": text,
        "value": pa.float64(),
        "status": repeated,
        "reason": text,
        "seconds": pa.float64(),
        "depends_on": repeated,
        "key": text,
    }
    schema = pa.schema(list(columns.items()))
    count = 0
    with opened(path) as file, replacing(Path(target)) as unfinished:
        known = {one.number: (one.proxy, canonical(one.fields)) for one in contexts(file)}
        with parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for chunk in rows(file, _ROWS):
                keys, numbers, candidates, values, statuses, reasons, seconds = zip(
                    *chunk, strict=True
                )
                proxies, fields = zip(*(known[number] for number in numbers), strict=True)
                given = (
                    *(proxies, candidates, values, statuses, reasons, seconds, fields),
                    [key.hex() for key in keys],
                )
                arrays = [
                    pa.array(column, kind)
                    for column, kind in zip(given, columns.values(), strict=True)
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                count += len(chunk)
    return count
