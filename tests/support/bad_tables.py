"""Bad sheets and tables, and word for word what is said of each; `test_bad_tables` makes them. See `bad_images`."""

from bad_inputs import BadInput

TABLES: list[BadInput] = [
    BadInput(
        "sheet is missing",
        given="`dataset.table` names no file",
        stops=True,
        says=(
            "dataset.table: {root}/scenes.tsv is not there: write one as docs/own-imagery.md shows, or correct the path"
        ),
    ),
    BadInput(
        "sheet is empty",
        given="a sheet of 0 bytes",
        stops=True,
        says="{root}/scenes.tsv is empty: it needs a header (scene, split, a column a sensor) and a row a scene",
    ),
    BadInput(
        "sheet without scenes",
        given="a header alone",
        stops=True,
        says="{root}/scenes.tsv has a header but no scene: add a row a scene",
    ),
    BadInput(
        "sheet with commas",
        given="a sheet saved as CSV",
        stops=True,
        says=(
            "{root}/scenes.tsv: the header 'scene,split,rgb,nir,labels,classes' has no tab: save the sheet with"
            " tabs between columns"
        ),
    ),
    BadInput(
        "sheet in utf 16",
        given='a sheet saved as "Unicode text"',
        stops=True,
        says="{root}/scenes.tsv is not text in UTF-8: save the sheet as tab-separated text (UTF-8)",
    ),
    BadInput(
        "sheet with an unknown column",
        given="a column `label`",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 1, column 'label': unknown; did you mean 'labels'? (columns are scene, "
            "split, ground, acquisition, fold, classes, the sensors of the configuration, labels and labels:<class>)"
        ),
    ),
    BadInput(
        "sheet without a column",
        given="no column for the sensor nir",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 1: column 'nir' is missing; a sensor of the configuration: add it, its "
            "cells may be empty"
        ),
    ),
    BadInput(
        "sheet with a column twice",
        given="two columns `rgb`",
        stops=True,
        says="{root}/scenes.tsv, row 1: column 'rgb' is there 2 times: remove one",
    ),
    BadInput(
        "row with too many cells",
        given="two tabs too many at the end of a row",
        stops=True,
        says="{root}/scenes.tsv, row 2: it has 8 cells and the header 6: remove a tab, or name the column",
    ),
    BadInput(
        "row with an open quote",
        given="a quote that is not closed",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2: a quote is not closed or stands within a cell of "
            "'\"a\\tpredict\\trgb.tif\\t\\t\\t' ({reason}): remove it"
        ),
    ),
    BadInput(
        "row without a reference image",
        given="an empty cell of the reference sensor",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: the cell is empty, but rgb is the reference that "
            "everything is brought to: give its file, or take the scene out"
        ),
    ),
    BadInput(
        "row with an unknown split",
        given="split `test`",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column split: 'test' given; train (models learn from it) or "
            "predict is needed"
        ),
    ),
    BadInput(
        "training row without labels",
        given="split `train` and no labels",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column split: a training scene without labels: give a file in "
            "`labels` or `labels:<class>` (an empty one where nothing is to be found), or set split to predict"
        ),
    ),
    BadInput(
        "row with an unknown class",
        given="classes `house` where it is called houses",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column classes: 'house' is not a class of the configuration; "
            "did you mean 'houses'?"
        ),
    ),
    BadInput(
        "scene twice",
        given="two rows of one id",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 3 (scene a), column scene: the same id is in row 2; an id may occur once: "
            "rename one"
        ),
    ),
    BadInput(
        "scene with a blank",
        given="the id `north field`",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene north field), column scene: 'north field' given; it becomes part "
            "of file names: begin with a letter or digit and use letters, digits, dot, underscore and hyphen "
            "only, 128 at most"
        ),
    ),
    BadInput(
        "scene with a quote",
        given="the id `o'hare`",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene o'hare), column scene: \"o'hare\" given; it becomes part of file "
            "names: begin with a letter or digit and use letters, digits, dot, underscore and hyphen only, 128 "
            "at most"
        ),
    ),
    BadInput(
        "scene that leads elsewhere",
        given="the id `../../etc/a`",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene ../../etc/a), column scene: '../../etc/a' given; it becomes part "
            "of file names: begin with a letter or digit and use letters, digits, dot, underscore and hyphen "
            "only, 128 at most"
        ),
    ),
    BadInput(
        "scene of two dots",
        given="the id `..`",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene ..), column scene: '..' given; it becomes part of file names: "
            "begin with a letter or digit and use letters, digits, dot, underscore and hyphen only, 128 at most"
        ),
    ),
    BadInput(
        "scene with too long a name",
        given="an id of 129 letters",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…), column "
            "scene: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…' given; it becomes part of "
            "file names: begin with a letter or digit and use letters, digits, dot, underscore and hyphen only, "
            "128 at most"
        ),
    ),
    BadInput(
        "labels in an archive",
        given="labels.zip!houses.geojson",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column labels: {root}/labels.zip!houses.geojson: labels are "
            "not read from an archive: unpack it"
        ),
    ),
    BadInput(
        "mask by the name of a band",
        given="mask.tif[houses]",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column labels:houses: band 'houses' given; the band of a mask "
            "is chosen by its number from 1"
        ),
    ),
    BadInput(
        "contest data are missing",
        given="an empty folder as `dataset.root`",
        stops=True,
        says=(
            "The Dstl data are not complete in {root}/dstl. Looked for and not found:\n"
            "  {root}/dstl/sixteen_band/*.tif or {root}/dstl/sixteen_band/sixteen_band/*.tif, called "
            "{scene}_P.tif, {scene}_M.tif or {scene}_A.tif, or {root}/dstl/sixteen_band.zip with them\n"
            "  {root}/dstl/three_band/*.tif or {root}/dstl/three_band/three_band/*.tif, called {scene}.tif, or "
            "{root}/dstl/three_band.zip with them\n"
            "  {root}/dstl/train_wkt_v4.csv or {root}/dstl/train_wkt_v4.csv/train_wkt_v4.csv or "
            "{root}/dstl/train_wkt_v4/train_wkt_v4.csv or {root}/dstl/train_wkt_v4.csv.zip or "
            "{root}/dstl/train_wkt_v4.zip\n"
            "  {root}/dstl/grid_sizes.csv or {root}/dstl/grid_sizes.csv/grid_sizes.csv or "
            "{root}/dstl/grid_sizes/grid_sizes.csv or {root}/dstl/grid_sizes.csv.zip or "
            "{root}/dstl/grid_sizes.zip\n"
            "  {root}/dstl/sample_submission.csv or {root}/dstl/sample_submission.csv/sample_submission.csv or "
            "{root}/dstl/sample_submission/sample_submission.csv or {root}/dstl/sample_submission.csv.zip or "
            "{root}/dstl/sample_submission.zip\n"
            "They come from Kaggle, dstl-satellite-imagery-feature-detection (https://www.kaggle.com/c/dstl-"
            "satellite-imagery-feature-detection; needs an account and its rules accepted) and go under "
            "{root}/dstl (`dataset.root`, normally data/dstl); docs/dstl.md shows how.\n"
            "To see the whole workflow run without them, on generated scenes: make demo"
        ),
    ),
    BadInput(
        "contest data packed twice",
        given="the archive of archives, not unpacked",
        stops=True,
        says=(
            "The Dstl data are not complete in {root}. Looked for and not found:\n"
            "  {root}/sixteen_band/*.tif or {root}/sixteen_band/sixteen_band/*.tif, called {scene}_P.tif, "
            "{scene}_M.tif or {scene}_A.tif, or {root}/sixteen_band.zip with them\n"
            "  {root}/three_band/*.tif or {root}/three_band/three_band/*.tif, called {scene}.tif, or "
            "{root}/three_band.zip with them\n"
            "  {root}/train_wkt_v4.csv or {root}/train_wkt_v4.csv/train_wkt_v4.csv or "
            "{root}/train_wkt_v4/train_wkt_v4.csv or {root}/train_wkt_v4.csv.zip or {root}/train_wkt_v4.zip\n"
            "  {root}/grid_sizes.csv or {root}/grid_sizes.csv/grid_sizes.csv or "
            "{root}/grid_sizes/grid_sizes.csv or {root}/grid_sizes.csv.zip or {root}/grid_sizes.zip\n"
            "  {root}/sample_submission.csv or {root}/sample_submission.csv/sample_submission.csv or "
            "{root}/sample_submission/sample_submission.csv or {root}/sample_submission.csv.zip or "
            "{root}/sample_submission.zip\n"
            "They are there, but packed once more; unpack them:\n"
            "  unzip {root}/dstl-satellite-imagery-feature-detection.zip -d {root}\n"
            "They come from Kaggle, dstl-satellite-imagery-feature-detection (https://www.kaggle.com/c/dstl-"
            "satellite-imagery-feature-detection; needs an account and its rules accepted) and go under {root} "
            "(`dataset.root`, normally data/dstl); docs/dstl.md shows how.\n"
            "To see the whole workflow run without them, on generated scenes: make demo"
        ),
    ),
    BadInput(
        "contest archive is no archive",
        given="an error page saved as three_band.zip",
        stops=True,
        says=(
            "{root}/three_band.zip is not a zip archive, or was cut off ({reason}): get it again, or give the "
            "unpacked files"
        ),
    ),
    BadInput(
        "contest images of other names alone",
        given="three_band/6010_1_2 copy.tif and no other image",
        stops=True,
        says=(
            "The Dstl data are not complete in {root}. Looked for and not found:\n"
            "  {root}/three_band/*.tif or {root}/three_band/three_band/*.tif, called {scene}.tif, or "
            "{root}/three_band.zip with them (there are 2 images of another name, first '6010_1_2 copy.tif')\n"
            "They come from Kaggle, dstl-satellite-imagery-feature-detection (https://www.kaggle.com/c/dstl-"
            "satellite-imagery-feature-detection; needs an account and its rules accepted) and go under {root} "
            "(`dataset.root`, normally data/dstl); docs/dstl.md shows how.\n"
            "To see the whole workflow run without them, on generated scenes: make demo"
        ),
    ),
    BadInput(
        "contest image of another name",
        given="three_band/6010_4_4 (1).tif beside the others",
        stops=False,
        says="three_band: '6010_4_4 (1).tif' is left out, as an image is called {scene}.tif there",
    ),
    BadInput(
        "contest image twice",
        given="6010_4_4_P.tif and 6010_4_4_p.TIFF",
        stops=False,
        says=(
            "{root}/sixteen_band/6010_4_4_P.tif is used and {root}/sixteen_band/6010_4_4_p.TIFF left out: both "
            "are the same image"
        ),
    ),
    BadInput(
        "contest image that is a folder",
        given="a folder called three_band/6010_0_0.tif",
        stops=False,
        says=(
            "{root}/three_band: '6010_0_0.tif' is left out, as it is a folder, a pipe or a link to nothing, not a file"
        ),
    ),
    BadInput(
        "contest image unpacked in part",
        given="an unzip that was broken off",
        stops=False,
        says=(
            "{root}/three_band/6010_4_4.tif has 2 bytes and {root}/three_band.zip!6010_4_4.tif 10: the unpacked"
            " one is used; if it was cut off, unpack it again"
        ),
    ),
    BadInput(
        "contest image without a reference",
        given="a P image of a scene without RGB",
        stops=False,
        says=(
            "scene 6010_0_0 is left out, as the image of the reference sensor rgb is not there (the first is "
            "three_band/6010_0_0.tif)"
        ),
    ),
    BadInput(
        "contest image is missing",
        given="no A image of a labelled scene",
        stops=True,
        says=(
            "1 image file of scenes that are used not found, neither unpacked nor in an archive:\n"
            "  {root}/sixteen_band/6010_1_2_A.tif\n"
            "Get the archives of https://www.kaggle.com/c/dstl-satellite-imagery-feature-detection again, or "
            "leave the sensor out of `sensors` and `channels`"
        ),
    ),
    BadInput(
        "labelled image is missing",
        given="a row of train_wkt_v4.csv for the scene `../6120_2_2`",
        stops=True,
        says=(
            "1 of the 1 scenes that {root}/train_wkt_v4.csv labels have no image, first '../6120_2_2': get all "
            "of three_band and sixteen_band, or take their rows out of the table"
        ),
    ),
    BadInput(
        "image to predict is missing",
        given="`predict: [6010_4_3]` where there is 6010_4_4",
        stops=True,
        says=(
            "dataset.predict: 1 of 1 scenes have no three_band image in {root}, first '6010_4_3' (did you mean "
            "'6010_4_4'?): correct the ids, or get the images"
        ),
    ),
    BadInput(
        "labels of another header",
        given="train_wkt_v4.csv with semicolons",
        stops=True,
        says=(
            "{root}/train_wkt_v4.csv begins with 'id;class;wkt'; a table of labels begins with the row "
            "ImageId,ClassType,MultipolygonWKT and has these columns, separated by commas"
        ),
    ),
    BadInput(
        "labels that were cut off",
        given="train_wkt_v4.csv that ends within a polygon",
        stops=True,
        says=(
            "{root}/train_wkt_v4.csv, row 2 (scene 6010_1_2, class 1): its quoted geometry does not end: the "
            "file was cut off; get it again"
        ),
    ),
    BadInput(
        "labels without a class number",
        given="a class by name in train_wkt_v4.csv",
        stops=True,
        says=(
            "{root}/train_wkt_v4.csv, row 2: scene '6010_1_2' and class 'houses' given; an id, a class number "
            "and a WKT geometry are needed, separated by commas"
        ),
    ),
    BadInput(
        "sizes that are no numbers",
        given="grid_sizes.csv with decimal commas",
        stops=True,
        says=(
            "{root}/grid_sizes.csv, row 2 (6010_1_2): Xmax '0,0091' and Ymin '-0.009' given; a positive and a "
            "negative number are needed: get the file again"
        ),
    ),
    BadInput(
        "sizes of the wrong sign",
        given="grid_sizes.csv with a positive Ymin",
        stops=True,
        says=(
            "{root}/grid_sizes.csv, row 2 (6010_1_2): Xmax '0.0091' and Ymin '0.009' given; a positive and a "
            "negative number are needed: get the file again"
        ),
    ),
    BadInput(
        "sizes that disagree",
        given="two rows of a scene in grid_sizes.csv",
        stops=True,
        says=(
            "{root}/grid_sizes.csv, row 3 (6010_1_2): Xmax 0.0092 and Ymin -0.009 given, and others in a row "
            "above: remove the wrong row, or get the file again"
        ),
    ),
    BadInput(
        "sizes without a scene",
        given="no row of a scene in grid_sizes.csv",
        stops=True,
        says=(
            "{root}/grid_sizes.csv has no row for scene 6010_4_4 (1 such scenes): its polygons cannot be "
            "placed; get the file again, or leave the scene out of `predict`"
        ),
    ),
    BadInput(
        "sizes in an archive that was cut off",
        given="grid_sizes.csv.zip of two bytes",
        stops=True,
        says=(
            "{root}/grid_sizes.csv.zip is not a zip archive, or was cut off ({reason}): get it again, or give "
            "the unpacked files"
        ),
    ),
    BadInput(
        "sizes in an archive of several tables",
        given="grid_sizes.csv.zip with two tables",
        stops=True,
        says="{root}/grid_sizes.csv.zip holds 2 .csv files, one is needed: unpack it by hand",
    ),
    BadInput(
        "sample of another header",
        given="sample_submission.csv with two columns",
        stops=True,
        says=(
            "{root}/sample_submission.csv has the columns 'id,class': ImageId, ClassType, MultipolygonWKT are "
            "needed, separated by commas; is it the sample? Get it again"
        ),
    ),
    BadInput(
        "sample without a class number",
        given="a class by name in sample_submission.csv",
        stops=True,
        says=(
            "{root}/sample_submission.csv, row 2: image '6010_4_4' and class 'houses' given; an id and a class "
            "number are needed: get the file again"
        ),
    ),
    BadInput(
        "sample of scenes that are not there",
        given="the scene `../x` in sample_submission.csv",
        stops=True,
        says=(
            "dataset.predict: 1 of 1 scenes have no three_band image in {root}, first '../x' (valid are "
            "6010_1_2, 6010_4_4): get all of three_band, or set `predict: scored`"
        ),
    ),
]
