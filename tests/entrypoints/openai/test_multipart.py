import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.openai.multipart import MultipartInvalid, Part, boundary_of, read_parts

NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="_-[]. "), min_size=1).map(
    lambda name: f"n{name}"
)


@given(fields=st.lists(st.tuples(NAMES, st.binary() | st.text(), st.booleans()), min_size=1, max_size=8))
def test_what_a_well_known_client_writes_is_read_back_byte_for_byte(fields) -> None:
    files = [(name, ("a file", value) if named else (None, value)) for name, value, named in fields]
    request = httpx.Request("POST", "http://x", files=files)
    parts = read_parts(request.read(), boundary_of(request.headers["content-type"]))
    expected = [Part(name, value.encode() if isinstance(value, str) else value, named) for name, value, named in fields]
    assert parts == expected


@given(body=st.binary() | st.lists(st.sampled_from([b"--x", b"\r\n", b"--", b"\r\n\r\n", b"a: b"])).map(b"".join))
def test_any_other_bytes_are_parts_or_an_error_and_never_another_exception(body: bytes) -> None:
    try:
        parts = read_parts(body, "x")
    except MultipartInvalid:
        return
    assert all(isinstance(part.data, bytes) for part in parts)


def part(name: str, data: bytes = b"") -> bytes:
    return b'--x\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), data)


def test_a_text_before_the_first_boundary_and_after_the_last_is_passed_over() -> None:
    body = b"preamble\r\n" + part("a", b"1") + b"--x--\r\nepilogue"
    assert read_parts(body, "x") == [Part("a", b"1", False)]


def test_data_that_looks_almost_like_a_boundary_is_data() -> None:
    data = b"--x\r\n-- x\r\n--"
    assert read_parts(part("a", data) + b"--x--", "x")[0].data == data


def test_a_body_has_at_most_64_parts() -> None:
    assert len(read_parts(part("a") * 64 + b"--x--", "x")) == 64
    with pytest.raises(MultipartInvalid, match="more than 64"):
        read_parts(part("a") * 65 + b"--x--", "x")


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 71],
)
def test_a_content_type_needs_a_boundary(content_type: str) -> None:
    with pytest.raises(MultipartInvalid, match="boundary"):
        boundary_of(content_type)


def test_a_field_that_should_be_text_and_is_not_is_an_error() -> None:
    with pytest.raises(MultipartInvalid, match="UTF-8"):
        Part("a", b"\xff", False).text()
