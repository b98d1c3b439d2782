"""Write the sheet of the urban trees: data/urban-trees/scenes.tsv over the crops below RASTERLOOM_TEST_DATA.

The folds are the two parts that the data come with: fold `val` is validated by a model that learned from the crops of
`train`, and the other way round. `--folds city` makes five folds, one city each, whose crops are never split apart.
"""

import argparse
import csv
import os
import sys
from pathlib import Path


def main() -> None:
    """Write the table; it says so and ends with code 1 where the crops are not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", choices=("given", "city"), default="given", help="given: train and val; city: five")
    chosen = parser.parse_args().folds
    folder = Path(os.environ.get("RASTERLOOM_TEST_DATA", "")).resolve() / "urban-trees"
    if not os.environ.get("RASTERLOOM_TEST_DATA") or not (folder / "scenes.tsv").is_file():
        sys.exit(
            f"{folder} is not there: set RASTERLOOM_TEST_DATA to the folder that holds urban-trees "
            "(scenes.tsv, images/ and points/); docs/own-imagery.md says what these are"
        )
    with (folder / "scenes.tsv").open(encoding="utf-8", newline="") as file:
        crops = list(csv.DictReader(file, delimiter="\t"))
    table = Path("data/urban-trees/scenes.tsv")
    table.parent.mkdir(parents=True, exist_ok=True)
    none = table.with_name("none.geojson")  # for the crop without trees
    none.write_text('{"type": "FeatureCollection", "features": []}\n', encoding="utf-8")
    rows = ["scene\tsplit\tacquisition\tfold\trgbn\tlabels:trees"]
    for crop in sorted(crops, key=lambda crop: crop["scene"]):
        city = crop["scene"].rsplit("_", 1)[0]
        fold = city if chosen == "city" else crop["split"]
        points = folder / crop["points"] if crop["points"] else none.resolve()
        rows.append(f"{crop['scene']}\ttrain\t{city}\t{fold}\t{folder / crop['image']}\t{points}")
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{table}: {len(crops)} scenes")


if __name__ == "__main__":
    main()
