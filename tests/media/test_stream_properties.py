"""Any bytes as coded pictures, audio frames, packets and elements: a value, or a typed error."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media.memory import InMemory

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.annexb import AvcSamples, HevcSamples, join_units, split_annexb
from clipline.media.bits import BitReader
from clipline.media.index import read_index
from clipline.media.intake import sniff, take_in
from clipline.media.parameter_sets import AvcConfiguration, parse_avcc, split_units
from clipline.media.sample_entries import audio_form
from clipline.media.transport import PACKET_BYTES, PacketReader, find_grid

CODECS = ("aac", "mp3", "mp2", "opus", "ac3", "pcm_alaw", "pcm_mulaw", "vorbis")


@settings(max_examples=300)
@given(
    st.sampled_from(CODECS),
    st.binary(max_size=40),
    st.binary(max_size=40),
    st.integers(0, 96_000),
    st.integers(0, 9),
)
def test_any_codec_data_and_frame_as_audio(
    codec: str, private: bytes, frame: bytes, rate: int, channels: int
) -> None:
    heads = {"opus": b"OpusHead", "ac3": b"\x0b\x77"}
    for one in (private, heads.get(codec, b"") + private):
        for first in (frame, b"\xff\xf1" + frame, heads.get(codec, b"") + frame):
            with suppress(UnreadableRecording, UnsupportedMedia):
                form = audio_form(codec, one, first, rate, channels)
                assert form.rate > 0
                sample = form.strip(first)
                if form.frame_samples is None:
                    assert form.samples_of is not None
                    assert form.samples_of(sample) >= 0


# NAL units


@given(
    st.lists(st.binary(min_size=1, max_size=20).map(lambda unit: unit + b"\x80"), max_size=6), st.booleans()
)
def test_units_of_a_byte_stream_are_read_as_they_were(units: list[bytes], long_codes: bool) -> None:
    whole = [unit for unit in units if b"\0\0\1" not in b"\0\0" + unit and not unit.startswith(b"\0")]
    code = b"\0\0\0\1" if long_codes else b"\0\0\1"
    assert list(split_annexb(b"".join(code + unit for unit in whole))) == whole
    assert list(split_units(join_units(whole), 4)) == whole


@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 0x65, 0x67, 0x68, 0x40, 0x42, 255]), max_size=80).map(bytes)
)
def test_any_byte_stream_has_units_without_start_codes(data: bytes) -> None:
    with suppress(UnreadableRecording):
        for unit in split_annexb(data):
            assert unit
            assert b"\0\0\1" not in unit
            assert not unit.endswith(b"\0")


@settings(max_examples=300)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from([0x67, 0x68, 0x65, 0x41, 0x06, 0x09, 0x01]), st.binary(max_size=30)),
            max_size=4,
        ),
        max_size=5,
    )
)
def test_any_units_as_h264_pictures(pictures: list[list[tuple[int, bytes]]]) -> None:
    samples = AvcSamples()
    for picture in pictures:
        units = [bytes([head]) + body for head, body in picture]
        with suppress(UnreadableRecording, UnsupportedMedia):
            sample, has_picture = samples.sample(units)
            kept = list(split_units(sample, 4))
            assert all(unit[0] & 31 not in (7, 8, 9) for unit in kept)
            assert has_picture == any(1 <= unit[0] & 31 <= 5 for unit in kept)
            samples.begins_group(sample)
    with suppress(UnreadableRecording, UnsupportedMedia):
        if samples.ready:
            samples.entry()


@settings(max_examples=300)
@given(
    st.binary(max_size=60),
    st.lists(st.lists(st.tuples(st.integers(0, 63), st.binary(max_size=30)), max_size=4), max_size=5),
)
def test_any_units_as_hevc_pictures(record: bytes, pictures: list[list[tuple[int, bytes]]]) -> None:
    with suppress(UnreadableRecording, UnsupportedMedia):
        samples = HevcSamples(record)
        for picture in pictures:
            with suppress(UnreadableRecording, UnsupportedMedia):
                sample, _ = samples.sample(bytes([kind << 1, 1]) + body for kind, body in picture)
                samples.begins_group(sample)
        if samples.ready:
            samples.entry()


@given(
    st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=3),
    st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=3),
    st.sampled_from([1, 2, 4]),
)
def test_a_record_of_any_sets_is_read_as_it_was_written(
    sps: list[bytes], pps: list[bytes], length_bytes: int
) -> None:
    record = bytes([1, 0, 0, 0, 0xFC | length_bytes - 1, 0xE0 | len(sps)])
    record += b"".join(struct.pack(">H", len(unit)) + unit for unit in sps)
    record += bytes([len(pps)]) + b"".join(struct.pack(">H", len(unit)) + unit for unit in pps)
    found = parse_avcc(record)
    assert found == AvcConfiguration(tuple(sps), tuple(pps), length_bytes)
    with suppress(UnreadableRecording, UnsupportedMedia):
        assert parse_avcc(found.pack()) == found
    with suppress(UnreadableRecording):
        found.sequence_of(0)


@given(st.binary(max_size=20), st.lists(st.integers(0, 40), max_size=20))
def test_bits_are_read_up_to_the_end_and_no_further(payload: bytes, widths: list[int]) -> None:
    bits, left = BitReader(payload), len(payload) * 8
    for width in widths:
        if width > left:
            with pytest.raises(UnreadableRecording):
                bits.u(width)
            return
        assert 0 <= bits.u(width) < 1 << width
        left -= width


# Transport streams and Matroska


@st.composite
def transport_streams(draw: st.DrawFn) -> bytes:
    packets = []
    for number in range(draw(st.integers(0, 14))):
        control = draw(st.sampled_from([0x10, 0x10, 0x30, 0x20, 0x00, 0xD0])) | draw(
            st.sampled_from([number % 16, number % 16, 0, 7])
        )
        head = bytes(
            [
                0x47,
                draw(st.sampled_from([0x00, 0x40, 0x41, 0x1F, 0x80])),
                draw(st.sampled_from([0, 17, 0xFF])),
                control,
            ]
        )
        packets.append((head + draw(st.binary(max_size=20))).ljust(PACKET_BYTES, b"\xff"))
        packets.append(draw(st.sampled_from([b"", b"", b"", b"G", b"junk", bytes(200)])))
    return draw(st.sampled_from([b"", b"", b"xy"])) + b"".join(packets)


@settings(max_examples=200)
@given(transport_streams(), st.integers(1, 5000))
def test_packets_are_whole_whatever_lies_between_them(data: bytes, length: int) -> None:
    grid = find_grid(data)
    if grid is None:
        return
    reader = PacketReader(InMemory(data), grid)
    given_bytes = b"".join(iter(lambda: reader.read(length), b""))
    assert len(given_bytes) % PACKET_BYTES == 0
    assert set(given_bytes[::PACKET_BYTES]) <= {0x47}
    assert not any(byte & 0x80 for byte in given_bytes[1::PACKET_BYTES])
    assert reader.bytes_read <= len(data)
    for losses in reader.losses.values():
        assert all(0 <= loss.before < loss.after < len(given_bytes) for loss in losses)
        assert list(losses) == sorted(losses)
    for pid in (0, 17, 0x1FFF):
        reader.is_whole(pid)


@given(st.binary(max_size=200))
def test_a_file_of_any_kind_is_taken_for_one_container_at_most(data: bytes) -> None:
    assert sniff(data) in {None, "mp4", "mpegts", "matroska"}
    with suppress(UnreadableRecording, UnsupportedMedia):
        read_index(InMemory(data))


HEADER = bytes.fromhex("1A45DFA3") + b"\x8b\x42\x82\x88matroska"
ELEMENTS = (
    "18538067",
    "1549A966",
    "1654AE6B",
    "AE",
    "D7",
    "83",
    "86",
    "63A2",
    "E0",
    "B0",
    "BA",
    "1F43B675",
    "E7",
    "A3",
    "A0",
    "A1",
)


def elements() -> st.SearchStrategy[bytes]:
    def element(parts: tuple[str, bytes, int]) -> bytes:
        kind, body, off = parts
        return (
            bytes.fromhex(kind) + (0x40_00 | min(max(len(body) + off, 0), 0x3FFF)).to_bytes(2, "big") + body
        )

    return st.recursive(
        st.binary(max_size=12),
        lambda inner: st.tuples(
            st.sampled_from(ELEMENTS),
            st.lists(inner, max_size=3).map(b"".join),
            st.sampled_from([0, 0, 0, 0, 1, -1, 900]),
        ).map(element),
        max_leaves=12,
    )


@settings(max_examples=60)
@given(elements())
def test_any_elements_are_a_recording_or_a_typed_error(body: bytes) -> None:
    data = HEADER + bytes.fromhex("18538067") + (0x40_00 | len(body)).to_bytes(2, "big") + body
    with TemporaryDirectory() as directory:
        with pytest.raises((UnreadableRecording, UnsupportedMedia)):
            take_in(InMemory(data), "matroska", Path(directory), None)
        assert not list(Path(directory).iterdir()), "nothing is left behind"


@settings(max_examples=60)
@given(transport_streams())
def test_any_packets_are_a_recording_or_a_typed_error(data: bytes) -> None:
    with TemporaryDirectory() as directory:
        with pytest.raises((UnreadableRecording, UnsupportedMedia)):
            take_in(InMemory(data), "mpegts", Path(directory), None)
        assert not list(Path(directory).iterdir()), "nothing is left behind"
