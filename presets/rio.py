"""Write the sheet of the Rio example: data/rio/scenes.tsv over the SpaceNet chips below RASTERLOOM_TEST_DATA."""

import os
import sys
from pathlib import Path

TRAIN = (50, 51, 52, 53, 54, 55, 56, 61, 62)
PREDICT = (57, 58, 59, 60, 63, 64)


def main() -> None:
    """Write the table; it says so and ends with code 1 where the chips are not found."""
    folder = Path(os.environ.get("RASTERLOOM_TEST_DATA", "")).resolve() / "spacenet-rio"
    if not os.environ.get("RASTERLOOM_TEST_DATA") or not folder.is_dir():
        sys.exit(
            f"{folder} is not there: set RASTERLOOM_TEST_DATA to the folder that holds spacenet-rio "
            "(images/rio_50.tif ... and masks/rio_50.tif ...); docs/own-imagery.md says what these are"
        )
    rows = ["scene\tsplit\trgb\tlabels:buildings"]
    for number in sorted(TRAIN + PREDICT):
        split = "train" if number in TRAIN else "predict"
        image, mask = (folder / kind / f"rio_{number}.tif" for kind in ("images", "masks"))
        rows.append(f"rio_{number}\t{split}\t{image}\t{mask}")
    table = Path("data/rio/scenes.tsv")
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{table}: {len(TRAIN)} scenes to train on, {len(PREDICT)} to predict and score")


if __name__ == "__main__":
    main()
