"""Bad images and tables, and word for word what is said; `test_bad_images` and `test_bad_tables` make them.

``{root}`` stands for the folder that all is in, ``{reason}`` for what a library says, which changes with its version.
"""

from bad_inputs import BadInput
from bad_tables import TABLES

IMAGES: list[BadInput] = [
    BadInput(
        "image is missing",
        given="a path in the sheet at which there is nothing",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: {root}/rgb.tif is not there: correct the path, "
            "which is relative to the sheet, or leave the cell empty"
        ),
    ),
    BadInput(
        "image is a folder",
        given="a folder called rgb.tif",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: {root}/rgb.tif is a folder, a file is needed: "
            "correct the path, which is relative to the sheet, or leave the cell empty"
        ),
    ),
    BadInput(
        "image is a broken link",
        given="a link to a disk that is not mounted",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: {root}/rgb.tif is a link to disk/rgb.tif, which is"
            " not there: correct the path, which is relative to the sheet, or leave the cell empty"
        ),
    ),
    BadInput(
        "image is a pipe",
        given="a named pipe",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: {root}/rgb.tif is a pipe or a device, a file is "
            "needed: correct the path, which is relative to the sheet, or leave the cell empty"
        ),
    ),
    BadInput(
        "image may not be read",
        given="a file of somebody else's, without permission to read it",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: {root}/rgb.tif may not be read: change its "
            "permissions (chmod u+r)"
        ),
    ),
    BadInput(
        "path is too long",
        given="a cell of 5,000 characters",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: "
            "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' cannot be opened as a file (File "
            "name too long): correct the path, which is relative to the sheet, or leave the cell empty"
        ),
    ),
    BadInput(
        "path with braces",
        given="an image called rgb{1}.tif",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: {root}/rgb{1}.tif: a path must not have braces, "
            "which are wildcards to Snakemake: rename it"
        ),
    ),
    BadInput(
        "image is empty",
        given="a file of 0 bytes",
        stops=True,
        says="scene a, sensor rgb: {root}/rgb.tif is empty: fetch it again",
    ),
    BadInput(
        "image is text",
        given="an error page saved as rgb.tif",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif cannot be opened as an image ({reason}): check what it is, or "
            "fetch it again"
        ),
    ),
    BadInput(
        "image ends after its header",
        given="the first 8 bytes of a TIFF",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif cannot be read as a TIFF ({reason}): it is truncated or "
            "damaged; fetch it again"
        ),
    ),
    BadInput(
        "image is half there",
        given="the first half of a compressed GeoTIFF",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif cannot be read at rows 0..60 ({reason}): it is truncated or "
            "damaged; fetch it again"
        ),
    ),
    BadInput(
        "plain image is half there",
        given="the first half of a TIFF without georeference",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif cannot be read as a TIFF ({reason}): it is truncated or "
            "damaged; fetch it again"
        ),
    ),
    BadInput(
        "image of another number of bands",
        given="two bands where `sensors.rgb.bands` is 3",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif has 2 bands (size 50 x 60), but 3 are needed: check the file, "
            "or `bands` of the sensor in the configuration"
        ),
    ),
    BadInput(
        "image with a band that may be validity",
        given="four bands of 8 bits, the fourth called alpha, and no `bands`",
        stops=True,
        says=(
            "scene a, sensor rgb: it is not clear how many bands are meant; {root}/rgb.tif calls its band 4 "
            "alpha, so it is read as validity: if it is data, choose it by its number, rgb.tif[1,2,...] in the "
            "table; if it is validity, set `bands` of the sensor in the configuration to 3"
        ),
    ),
    BadInput(
        "image of complex numbers",
        given="complex numbers, as radar images have them",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif holds values of type complex64: integers or real numbers are "
            "needed; convert it, or take a part of it"
        ),
    ),
    BadInput(
        "image of colours in a palette",
        given="one band of numbers of colours",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif holds numbers of colours in a palette, not brightness: expand "
            "it (gdal_translate -expand rgb)"
        ),
    ),
    BadInput(
        "image with more than three axes",
        given="a TIFF of 4 x 5 pages",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif holds an array of shape (4, 5, 30, 20) with axes QQYX: one "
            "image of bands x rows x columns is needed"
        ),
    ),
    BadInput(
        "image with control points alone",
        given="ground control points and no geotransform",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif is placed by 3 ground control points alone: rectify it first "
            "(gdalwarp image.tif rectified.tif), or drop them to work in its pixels (gdal_translate -nogcp)"
        ),
    ),
    BadInput(
        "image with a geotransform of no area",
        given="a world file whose two axes are one",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif has the geotransform [[0.5, 0.5, 499999.5], [0.5, 0.5, "
            "4999999.5]], which maps the image onto a line or nowhere: mend it (gdal_edit -a_ullr), or its "
            "world file"
        ),
    ),
    BadInput(
        "bands of several types",
        given="a VRT of a band of integers and one of real numbers",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.vrt has bands of types ['uint16', 'float32']: at least one band, "
            "all of one type, are needed; convert them to one (gdal_translate -ot)"
        ),
    ),
    BadInput(
        "band by a number that is not there",
        given="rgb.tif[4,3,2] of a file of three bands",
        stops=True,
        says="scene a, sensor rgb: {root}/rgb.tif has no band 4: it has 3, counted from 1; mend the table",
    ),
    BadInput(
        "band by a name that is not there",
        given="rgb.tif[B4,B03,B02] where the bands are called B02, B03, B04",
        stops=True,
        says="scene a, sensor rgb: {root}/rgb.tif has no band 'B4'; did you mean 'B04'?",
    ),
    BadInput(
        "band by name in a file without names",
        given="rgb.tif[red] where no band has a name",
        stops=True,
        says=("scene a, sensor rgb: {root}/rgb.tif has no band 'red': it names none of its 3 bands; choose by number"),
    ),
    BadInput(
        "bands as a range",
        given="rgb.tif[1-3]",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: bands [1-3] given; numbers from 1 or names, each "
            "on its own and separated by commas, are needed, for example rgb.tif[3,2,1]"
        ),
    ),
    BadInput(
        "files of a sensor of different sizes",
        given="b4.tif;b3.tif of 10 m and 20 m pixels",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/b4.tif measures 50 x 60, {root}/b3.tif 25 x 30: files of one sensor "
            "must agree in size; make them sensors of their own"
        ),
    ),
    BadInput(
        "files of a sensor on different grids",
        given="b4.tif;b3.tif, one moved by 10 m",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/b4.tif and {root}/b3.tif have different geotransforms: files of one "
            "sensor must share their grid; make them sensors of their own"
        ),
    ),
    BadInput(
        "files of a sensor in different systems",
        given="b4.tif;b3.tif in two UTM zones",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/b4.tif and {root}/b3.tif name different coordinate systems: files of "
            "one sensor must share their grid; make them sensors of their own"
        ),
    ),
    BadInput(
        "sensors of different ground",
        given="a near infrared of another place",
        stops=True,
        says=(
            "scene a, sensor nir: by their georeference it and the reference show different ground: check that "
            "the files belong to one scene and name the right coordinate system"
        ),
    ),
    BadInput(
        "sensor without a coordinate system",
        given="a near infrared with a geotransform and no coordinate system",
        stops=True,
        says=(
            "scene a, sensor nir: only one of this sensor and the reference names its coordinate system: assign"
            " it to the other file (gdal_edit -a_srs)"
        ),
    ),
    BadInput(
        "sensor in a system that bends",
        given="600 km in UTM, and the same in degrees",
        stops=True,
        says=(
            "scene a, sensor nir: its coordinate system differs from the reference's, and the way between the "
            "two bends by 771.6 reference pixels over the scene: reproject it to the reference's system first "
            "(gdalwarp)"
        ),
    ),
    BadInput(
        "image that changed while the run waited",
        given="a file replaced between planning and its job",
        stops=True,
        says=(
            "scene a, sensor rgb: {root}/rgb.tif has changed since the run was planned (size or time differ, "
            "its own or those of a file beside it, such as a world file): start the workflow again"
        ),
    ),
    BadInput(
        "archive that was cut off",
        given="the first 1,000 bytes of a zip archive",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: {root}/images.zip is not a zip archive, or was cut"
            " off ({reason}): get it again, or give the unpacked files"
        ),
    ),
    BadInput(
        "archive without the image",
        given="images.zip!rgb.tif where the archive holds other.tif",
        stops=True,
        says=(
            "{root}/scenes.tsv, row 2 (scene a), column rgb: {root}/images.zip!rgb.tif is not there: the "
            "archive holds no such file; correct the path, which is relative to the sheet, or leave the cell "
            "empty"
        ),
    ),
    BadInput(
        "archive with a damaged image",
        given="a zip archive with 20 bytes overwritten",
        stops=True,
        says="scene a, sensor rgb: {root}/images.zip!rgb.tif is damaged ({reason}): get the archive again",
    ),
    BadInput(
        "reference image named twice",
        given="two rows that name the same image",
        stops=False,
        says=(
            "scenes a and b name the same rgb image, {root}/rgb.tif; if that is meant, give them one `ground`, "
            "so that no split separates them"
        ),
    ),
]

CASES: list[BadInput] = [*IMAGES, *TABLES]
