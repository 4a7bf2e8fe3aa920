"""Writes the files and the figures that the tests of `dataset` compare with.

Figures are pandas' and numpy's, not ours. Run with the folder of the UCI files:

    python columns.py /path/to/tabular

Made with pandas 3.1.1 and numpy 2.4.6. `german_head.data` is the first 40 rows of the Statlog
German credit data (Hofmann, UCI, CC BY 4.0), unchanged; the other files are written from it.
"""

import pathlib
import sys

import numpy as np
import pandas as pd

SOURCE = pathlib.Path(sys.argv[1])
HERE = pathlib.Path(__file__).parent
NAMES = (
    "status duration history purpose amount savings employment rate personal debtors residence "
    "property age plans housing credits job liable telephone foreign class"
).split()
ADULT = (
    "age workclass fnlwgt education education_num marital occupation relationship race sex "
    "gain loss hours country income"
).split()


def figures(frame: pd.DataFrame, columns: list[str], path: str) -> None:
    lines = ["column n missing min max mean std"]
    for name in columns:
        values = frame[name].to_numpy(dtype=float)
        kept = values[~np.isnan(values)]
        exact = [kept.min(), kept.max(), kept.mean(dtype=np.longdouble)]
        exact.append(np.sqrt(np.mean((kept.astype(np.longdouble) - exact[2]) ** 2)))
        words = [repr(float(v)) for v in exact]
        lines.append(" ".join([name, str(len(kept)), str(len(values) - len(kept)), *words]))
    (HERE / path).write_text("\n".join(lines) + "\n")


def main() -> None:
    head = (SOURCE / "german.data").read_text().splitlines(keepends=True)[:40]
    (HERE / "german_head.data").write_text("".join(head))
    frame = pd.read_csv(HERE / "german_head.data", sep=" ", header=None, names=NAMES)
    numeric = ["duration", "amount", "rate", "residence", "age", "credits", "liable"]
    figures(frame, numeric, "german_head.txt")

    # The same rows as a German spreadsheet writes them, columns permuted, three cells missing.
    other = frame[NAMES[::-1]].astype({"amount": float, "age": float})
    other["share"] = (other["amount"] / other["duration"]).round(3)
    other.loc[[3, 17, 39], "share"] = np.nan
    text = other.to_csv(sep=";", decimal=",", index=False, lineterminator="\r\n")
    (HERE / "german_head_de.csv").write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8"))
    figures(other, ["share"], "german_head_de.txt")

    full = pd.read_csv(SOURCE / "german.data", sep=" ", header=None, names=NAMES)
    figures(full, numeric, "german.txt")
    adult = pd.read_csv(SOURCE / "adult.data", header=None, names=ADULT, skipinitialspace=True)
    figures(adult, ["age", "fnlwgt", "education_num", "gain", "loss", "hours"], "adult.txt")
    compas = pd.read_csv(SOURCE / "compas-scores-two-years.csv")
    figures(compas, ["age", "days_b_screening_arrest", "c_days_from_compas"], "compas.txt")
    for name, label, data in [
        ("german", "class", full), ("adult", "income", adult), ("compas", "two_year_recid", compas),
    ]:
        dup = int(data.drop(columns=[label]).duplicated().sum())
        print(name, len(data), data[label].value_counts().to_dict(), "duplicates", dup)
    print(adult.isin(["?"]).sum()[lambda s: s > 0].to_dict())


main()
