"""Images whose numbers are odd: what is given, whether the run stops, and what is said; `test_bad_values` makes each.

Where work goes on ``says`` is the finding and its detail, as ``quality/inputs.tsv`` has them.
"""

from __future__ import annotations

from bad_inputs import BadInput

CASES: list[BadInput] = [
    BadInput("pixels that are not a number", "NaN in 3 pixels of a band", False, "not-finite: band 1: 3 pixels"),
    BadInput("pixels that are infinite", "2 infinite pixels", False, "not-finite: band 2: 2 pixels"),
    BadInput("constant band", "a band that is 7 everywhere", False, "constant-band: band 2: 7 everywhere"),
    BadInput("image without data", "no-data everywhere", False, "all-no-data: all 1200 pixels"),
    BadInput(
        "image partly without data", "no-data in a quarter of the image", False, "no-data: 300 of 1200 pixels (25 %)"
    ),
    BadInput(
        "saturated pixels",
        "a tenth of a 14-bit band at 16383",
        False,
        "saturated: band 3: 120 of 1200 pixels (10 %) at 16383",
    ),
    BadInput(
        "scene smaller than a window",
        "an image of 40 x 30 pixels, and a window of 64",
        False,
        "small: 40 x 30 pixels at scale native, the window has 64",
    ),
    BadInput(
        "class without training pixels",
        "an empty file of labels for each scene that trains",
        True,
        "houses: none of the 1 training scenes (a) has a valid pixel of it at scale native; at least one is needed. "
        "Label it there, move a scene that has it to the training part (validation: another split, folds or seed), or "
        "remove the class from the configuration.",
    ),
    BadInput(
        "no data in any image",
        "every image of the statistics without data",
        True,
        "sensor rgb: band 1 has no valid pixel in any of 1 scenes: check the files and `nodata` of the sensor",
    ),
]
