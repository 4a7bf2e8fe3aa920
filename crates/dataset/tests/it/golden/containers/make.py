"""Writes the same rows into every container that is read; run with pyarrow and Pillow beside it.

`german.*` are the 40 rows of `../german_head.data` with a header. `types.*` hold one column of
each type with what its cells must become in `types.csv`, written by Python's own rules. `credit.*`
are the 300 test rows of `examples/credit`, in types as pandas and databases choose them.
"""
import datetime as dt
import decimal
import json
import pathlib

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.feather as feather
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
NAMES = (
    "status duration history purpose amount savings employment rate personal debtors residence "
    "property age plans housing credits job liable telephone foreign class"
).split()
NUMERIC = set("duration amount rate residence age credits liable".split())


def german():
    lines = (HERE.parent / "german_head.data").read_text().splitlines()
    rows = [line.split() for line in lines if line.strip()]
    columns = {}
    for at, name in enumerate(NAMES):
        cells = [row[at] for row in rows]
        if name in NUMERIC:
            # one missing value, so that nulls are in every container
            numbers = [None if (name, r) == ("age", 7) else int(c) for r, c in enumerate(cells)]
            columns[name] = pa.array(numbers, pa.int32() if name == "age" else pa.int64())
        elif name == "status":
            columns[name] = pa.array(cells).dictionary_encode()
        else:
            columns[name] = pa.array(cells)
    table = pa.table(columns)
    lines = [",".join(NAMES)]
    for row in table.to_pylist():
        lines.append(",".join("" if row[n] is None else str(row[n]) for n in NAMES))
    (HERE / "german.csv").write_text("\n".join(lines) + "\n")
    containers(table, "german")
    for codec in ["gzip", "zstd", "lz4", "none"]:
        pq.write_table(table, HERE / f"german_{codec}.parquet", compression=codec,
                       data_page_version="2.0" if codec == "zstd" else "1.0")
    pq.write_table(table, HERE / "german_brotli.parquet", compression="brotli")


def types():
    when = [dt.datetime(2013, 8, 13, 6, 3, 42), dt.datetime(1969, 12, 31, 23, 59, 59, 500000), None]
    utc = [w and w.replace(tzinfo=dt.timezone.utc) for w in when]
    money = [decimal.Decimal("-12.50"), decimal.Decimal("0.05"), None]
    columns = {
        "i8": pa.array([-128, 127, None], pa.int8()),
        "u16": pa.array([0, 65535, None], pa.uint16()),
        "i64": pa.array([-(2**53), 2**53, None], pa.int64()),
        "u64": pa.array([0, 2**64 - 1, None], pa.uint64()),
        "f32": pa.array([0.1, -3.5, None], pa.float32()),
        "f64": pa.array([0.1, 1e300, float("nan")], pa.float64(), from_pandas=False),
        "truth": pa.array([True, False, None]),
        "text": pa.array(["é, \"x\"", "", None]),
        "large": pa.array(["a", "b", None], pa.large_string()),
        "word": pa.array(["red", "blue", None]).dictionary_encode(),
        "money": pa.array(money, pa.decimal128(9, 2)),
        "day": pa.array([dt.date(2000, 2, 29), dt.date(1, 1, 1), None]),
        "second": pa.array(when, pa.timestamp("us")),
        "zoned": pa.array(utc, pa.timestamp("ms", tz="UTC")),
        "clock": pa.array([dt.time(6, 3, 42), dt.time(23, 59, 59, 1000), None], pa.time64("us")),
        "nothing": pa.nulls(3),
        "label": pa.array(["p", "q", "p"]),
    }
    table = pa.table(columns)
    f32 = lambda v: repr(pa.scalar(v, pa.float32()).as_py())
    text = {
        "f32": [f32(0.1), f32(-3.5), None],
        "f64": ["0.1", "1e300", None],
        "truth": ["true", "false", None],
        "second": ["2013-08-13 06:03:42", "1969-12-31 23:59:59.5", None],
        "zoned": ["2013-08-13 06:03:42Z", "1969-12-31 23:59:59.5Z", None],
        "clock": ["06:03:42", "23:59:59.001", None],
    }
    rows = []
    for at in range(3):
        row = []
        for name in columns:
            cell = text[name][at] if name in text else columns[name][at].as_py()
            row.append(None if cell is None else str(cell))
        rows.append(row)
    (HERE / "types.json").write_text(json.dumps({"columns": list(columns), "rows": rows}, indent=1))
    pq.write_table(table, HERE / "types.parquet")
    with pa.OSFile(str(HERE / "types.arrow"), "wb") as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    nested = table.select(["i8", "label"]).append_column("list", pa.array([[1], [2, 3], []]))
    nested = nested.append_column("record", pa.array([{"a": 1}, {"a": 2}, None]))
    nested = nested.append_column("raw", pa.array([b"a", b"b", None]))
    pq.write_table(nested, HERE / "nested.parquet")
    feather.write_feather(nested, HERE / "nested.arrow", compression="uncompressed")


def containers(table, stem):
    pq.write_table(table, HERE / f"{stem}.parquet", compression="snappy")
    feather.write_feather(table, HERE / f"{stem}.arrow", compression="lz4")
    feather.write_feather(table, HERE / f"{stem}_zstd.arrow", compression="zstd", chunksize=16)
    with pa.OSFile(str(HERE / f"{stem}.arrows"), "wb") as sink:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=13)
    lines = [json.dumps({k: v for k, v in row.items() if v is not None}) for row in table.to_pylist()]
    (HERE / f"{stem}.jsonl").write_text("\n".join(lines) + "\n")


def credit():
    table = csv.read_csv(HERE / "../../../../../../examples/credit/test.csv")
    kinds = {"duration": pa.int8(), "amount": pa.float64(), "age": pa.float32(),
             "installment_rate": pa.uint16(), "residence_since": pa.decimal128(19, 0),
             "class": pa.uint8()}
    for at, name in enumerate(table.column_names):
        column = table[name]
        if name in kinds:
            column = column.cast(kinds[name])
        elif pa.types.is_string(column.type) and at % 3 == 0:
            column = column.dictionary_encode()
        elif pa.types.is_string(column.type) and at % 3 == 1:
            column = column.cast(pa.large_string())
        table = table.set_column(at, name, column)
    pq.write_table(table, HERE / "credit.parquet", compression="zstd", data_page_size=1024,
                   row_group_size=128, use_dictionary=["purpose", "savings", "class"])
    feather.write_feather(table, HERE / "credit.arrow", compression="lz4", chunksize=100)
    rows = [{k: int(v) if k in kinds else v for k, v in row.items()} for row in table.to_pylist()]
    (HERE / "credit.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


german()
types()
credit()
