"""Images: what a viewer shows is read, what cannot be read is named."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

SIZE = (16, 32)


def picture(mode="RGB", size=SIZE):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sixteen_bit():
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 65535, SIZE[::-1], dtype=np.uint16))


def animated(kind):
    return encoded(picture(), kind, save_all=True, append_images=[picture().rotate(180)], duration=100)


def upright(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(picture(size=SIZE[::-1]), "JPEG", exif=exif.tobytes())


def huge_header():
    """A PNG of 60000 x 60000 pixels that says so and holds nothing."""
    content = bytearray(encoded(picture("L"), "PNG"))
    content[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


JPEG = encoded(picture(), "JPEG")
WORKS = {
    "grey": encoded(picture("L"), "JPEG"),
    "cmyk": encoded(picture("CMYK"), "JPEG"),
    "palette": encoded(picture().convert("P"), "PNG"),
    "palette with transparency": encoded(picture().convert("P"), "PNG", transparency=0),
    "rgba": encoded(picture("RGBA"), "PNG"),
    "grey with alpha": encoded(picture("LA"), "PNG"),
    "black and white": encoded(picture("1"), "PNG"),
    "16 bit": encoded(sixteen_bit(), "PNG"),
    "16 bit tiff": encoded(sixteen_bit(), "TIFF"),
    "animated gif": animated("GIF"),
    "animated png": animated("PNG"),
    "animated webp": animated("WEBP"),
    "webp": encoded(picture(), "WEBP"),
    "bmp": encoded(picture(), "BMP"),
    "progressive": encoded(picture(), "JPEG", progressive=True),
    "turned by its EXIF tag": upright(6),
    "one pixel": encoded(picture(size=(1, 1)), "JPEG"),
    "one row": encoded(picture(size=(64, 1)), "JPEG"),
    "large": encoded(picture(size=(1200, 1600)), "JPEG"),
    "with a colour profile": encoded(
        picture(), "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ),
    "bytes after its end": JPEG + b"\0" * 100,
}
BROKEN = {
    "no bytes": b"",
    "half a jpeg": JPEG[: len(JPEG) // 2],
    "half a png": encoded(picture(), "PNG")[:200],
    "only a head": JPEG[:20],
    "zeros": bytes(500),
    "words": b"this is not an image",
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "an archive": b"PK\x03\x04" + bytes(100),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "absurdly large": huge_header(),
}


@pytest.mark.parametrize("kind", WORKS)
def test_what_a_viewer_shows_is_read(bench, worked, kind):
    """The format depends on the content of a file, not on its suffix."""
    image = bench.image("query")
    image.write_bytes(WORKS[kind])
    worked(bench.evaluate())


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_named(bench, refused, kind):
    image = bench.image("query")
    image.write_bytes(BROKEN[kind])
    outcome = bench.evaluate()
    refused(outcome, str(image), "cannot be read", "replace")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_broken_image_stops_a_training(bench, refused, workers):
    for image in bench.market.glob("bounding_box_train/*.jpg"):
        image.write_bytes(JPEG[:50])
    refused(bench.train("DATALOADER.NUM_WORKERS", workers), "bounding_box_train", "cannot be read")
