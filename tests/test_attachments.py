from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

import pytest

from onplan.attachments import read_attachments
from onplan.errors import InvalidImageError, InvalidRequestError
from onplan.types import CompletionRequest, File, Image, Message, Text, ToolResult

PNG = b"\x89PNG\r\n\x1a\n..."
SIGNATURES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0...",
    "image/gif": b"GIF89a...",
    "image/webp": b"RIFF\x04\x00\x00\x00WEBPVP8 ",
}


def read(*parts):
    return read_attachments(CompletionRequest(messages=Message.user(*parts))).messages[0].content


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass
class Case:
    id: str
    given: object
    read: object


CASES = [
    Case("URL", Image(url="https://example.org/a"), Image(url="https://example.org/a")),
    Case("URL before path", Image(url="https://u", path="missing"), Image(url="https://u", path="missing")),
    Case("bytes", Image(data=PNG), Image(data=PNG, mime_type="image/png")),
    Case(
        "bytes of a type that was told",
        Image(data=b"?", mime_type="image/avif"),
        Image(data=b"?", mime_type="image/avif"),
    ),
    Case("file by URL", File(url="https://u"), File(url="https://u")),
    Case("file of bytes", File(data=b"x"), File(data=b"x")),
    Case("empty file of bytes", File(data=b""), File(data=b"")),
    Case(
        "document without a name",
        File(data=b"x", mime_type="application/pdf"),
        File(data=b"x", filename="document.pdf", mime_type="application/pdf"),
    ),
    Case(
        "file named in bytes",
        File(data=b"x", filename="a.pdf"),
        File(data=b"x", filename="a.pdf", mime_type="application/pdf"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_needs_no_file_is_only_completed(case):
    """Parts with a URL stay as they are; parts with bytes learn their type."""
    assert [case.read] == read(case.given)


@pytest.mark.parametrize("mime_type", SIGNATURES)
def test_an_image_s_type_comes_from_its_bytes(folder, mime_type):
    """Whatever an image file is called, its first bytes say what it is."""
    (folder / "picture.txt").write_bytes(SIGNATURES[mime_type])

    assert [Image(path="picture.txt", data=SIGNATURES[mime_type], mime_type=mime_type)] == read(
        Image(path="picture.txt")
    )


HEIC, AVIF = b"\0\0\0\x20ftypheic\0\0\0\0", b"\0\0\0\x1cftypavif\0\0\0\0"
JPEG, WEBP = SIGNATURES["image/jpeg"], SIGNATURES["image/webp"]
CORRECTED = [
    *(
        (data, "image/" + told, kind)
        for kind, data in SIGNATURES.items()
        for told in ("png", "jpeg", "gif", "webp")
    ),
    (JPEG, "image/jpg", "image/jpeg"),
    (JPEG, "image/pjpeg", "image/jpeg"),
    (PNG, "IMAGE/PNG", "image/png"),
    (JPEG, "image/png; charset=binary", "image/jpeg"),
    (PNG, "application/octet-stream", "image/png"),
    (PNG, "image/heic", "image/png"),
    (PNG, "", "image/png"),
    (HEIC, "image/heic", "image/heic"),
    (HEIC, "image/heif", "image/heif"),
    (AVIF, "image/avif", "image/avif"),
    (b"BM....", "image/bmp", "image/bmp"),
    (b"?", "image/x-mine", "image/x-mine"),
    (b"<svg xmlns=''/>", "image/svg+xml", "image/svg+xml"),
]


def data_url(data, told):
    return f"data:{told};base64,{b64encode(data).decode()}"


@pytest.mark.parametrize(("data", "told", "kind"), CORRECTED)
def test_the_bytes_decide_what_an_image_is(data, told, kind):
    """A type that the bytes contradict is corrected, as bytes, in a data URL and in a tool result."""
    by_url = Image(url=data_url(data, told))
    (part,) = read(Image(data=data, mime_type=told))
    (linked,) = read(by_url)
    request = CompletionRequest(messages=[Message.tool("c", [Image(data=data, mime_type=told), by_url])])
    (result,) = read_attachments(request).messages[0].content

    assert (kind, data) == (part.mime_type, part.data)
    assert data_url(data, kind) == linked.url
    assert [part, linked] == result.content


NO_IMAGES = [
    (HEIC, "image/png", "HEIC"),
    (HEIC, "image/jpeg", "HEIC"),
    (HEIC, None, "HEIC"),
    (HEIC, "image/avif", "HEIC"),
    (AVIF, "image/webp", "AVIF"),
    (b"BM....", "image/png", "BMP"),
    (b"II*\0....", None, "TIFF"),
    (b"%PDF-1.7", "image/png", "PDF"),
    (b"%PDF-1.7", "application/pdf", "PDF"),
    (b"<svg xmlns=''/>", "image/png", "SVG"),
    (b"?", "image/png", "not a PNG"),
    (b"?", "application/octet-stream", "not a PNG"),
    (b"", "image/png", "not a PNG"),
    (b"", None, "not a PNG"),
    (b"<html>", "image/jpeg", "not a PNG"),
]


@pytest.mark.parametrize(("data", "told", "says"), NO_IMAGES)
def test_what_is_no_image_that_it_claims_to_be_is_refused(data, told, says):
    """Bytes of another kind than told are refused here, where the error can say what they are."""
    for part in (Image(data=data, mime_type=told), Image(url=data_url(data, told or ""))):
        with pytest.raises(InvalidImageError, match=says):
            read(part)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "data:image/svg+xml,%3Csvg/%3E",
        "data:image/png",
        data_url(PNG, "image/png"),
        data_url(PNG, "image/png;name=a.png"),
        "data:image/jpeg;base64,%2F9j%2F4AAQSkZJRg==",
        "data:image/jpeg;base64,_9j_4AAQSkZJRg",
        "data:image/png;base64,iVBORw0KGgo",
        data_url(HEIC, "image/heic"),
    ],
)
def test_other_addresses_of_images_stay(url):
    """A URL whose bytes are not in it, or are what it says, is sent as it is."""
    assert [Image(url=url)] == read(Image(url=url))


def test_a_long_data_url_is_corrected_in_its_head(folder):
    """Whatever stands between the letters of base64, the rest of the address stays."""
    wrapped = b64encode(JPEG * 1_000).decode().replace("/", "/\r\n ")

    assert [Image(url=f"data:image/jpeg;base64,{wrapped}")] == read(
        Image(url=f"DATA:image/png;name=a.png;base64,{wrapped}")
    )


def test_a_file_keeps_its_name(folder):
    """A document is sent under its file name, with the type that belongs to it."""
    (folder / "report.pdf").write_bytes(b"%PDF")

    (part,) = read(File(path=str(folder / "report.pdf")))
    assert (b"%PDF", "report.pdf", "application/pdf") == (part.data, part.filename, part.mime_type)


def test_a_home_may_be_abbreviated(folder, monkeypatch):
    """``~`` in a path is the user's home."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    (folder / "a.png").write_bytes(PNG)

    assert PNG == read(Image(path="~/a.png"))[0].data


def test_a_name_that_begins_with_a_tilde_is_a_name(folder):
    """A file called ``~backup.png`` is not somebody's home."""
    (folder / "~backup.png").write_bytes(PNG)

    assert PNG == read(Image(path="~backup.png"))[0].data


def test_images_inside_a_tool_result_are_read_too(folder):
    """A tool may answer with an image file."""
    (folder / "a.png").write_bytes(PNG)
    request = CompletionRequest(messages=[Message.tool("call_1", [Text("a map"), Image(path="a.png")])])

    (part,) = read_attachments(request).messages[0].content
    assert ToolResult("call_1", [Text("a map"), Image(path="a.png", data=PNG, mime_type="image/png")]) == part


def test_a_request_without_files_is_left_alone():
    """Where there is nothing to read, the very same request comes back."""
    request = CompletionRequest(
        messages=[Message.user("Hi", Image(url="https://u")), Message.tool("call_1", "x")]
    )

    assert request is read_attachments(request)


def test_the_rest_of_the_request_stays(folder):
    """Reading files changes nothing else of a request, nor the request that was given."""
    (folder / "a.png").write_bytes(PNG)
    given = CompletionRequest(messages=Message.user("Hi", Image(path="a.png")), model="x")

    found = read_attachments(given)
    assert ("x", Text("Hi")) == (found.model, found.messages[0].content[0])
    assert given.messages[0].content[1].data is None


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (Image(path="missing.png"), "missing.png cannot be read: no such file"),
        (File(path="."), "cannot be read"),
        (File(path="nul\0.pdf"), "cannot be read"),
        (Image(), "needs a url, a path or data"),
        (File(), "needs a url, a path or data"),
    ],
    ids=["missing", "folder", "no path at all", "empty image", "empty file"],
)
def test_a_file_that_cannot_be_read_is_an_error_of_the_request(folder, part, says):
    """The sentence names the file and the reason."""
    with pytest.raises(InvalidRequestError, match=says):
        read(part)


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"<svg/>", b"RIFF....WAVE"], ids=repr)
def test_what_is_no_image_is_refused(folder, data):
    """Bytes that no backend takes for an image are refused before they are sent."""
    (folder / "a.png").write_bytes(data)

    with pytest.raises(InvalidImageError, match=r"a\.png"):
        read(Image(path="a.png"))


def test_a_file_that_no_request_can_hold_is_not_read(tmp_path):
    """Its size alone is looked at: reading 16 GiB would take the machine's memory."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(16 << 30)  # takes no room
    for part in (Image(path=str(path)), File(path=str(path))):
        with pytest.raises(InvalidRequestError, match="larger than 512 MiB"):
            read_attachments(CompletionRequest(messages=[Message.user("hi", part)]))
