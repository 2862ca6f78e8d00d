"""HEVC: parameter sets against FFmpeg's view, and splices that two decoders show picture by picture."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media.boxes import read_movie, walk
from media.hevc_clips import KINDS, Source, annex_b, decode, leading, libde265, make_source, planes, splice
from media.test_structure import LEAST_PSNR_DB, psnr

from clipline.contract.errors import MediaError, UnreadableRecording, UnsupportedMedia
from clipline.media.bits import BitReader, BitWriter, escape, unescape
from clipline.media.hevc import (
    BLA_N_LP,
    CRA,
    IDR,
    cra_to_bla,
    is_cra,
    is_entry,
    is_idr,
    is_radl,
    is_rasl,
    picture_kind,
    slice_pps,
    units_of,
    with_sets,
    without_sets,
)  # fmt: skip
from clipline.media.hevc_encoder import HevcEncoder, splice_obstacle
from clipline.media.hevc_sets import (
    PPS,
    SPS,
    VPS,
    collect_sets,
    parse_hvcc,
    parse_sps,
    set_identifiers,
    with_identifiers,
)  # fmt: skip
from clipline.media.overlay import frame_number

GetSource = Callable[[str], Source]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> GetSource:
    made: dict[str, Source] = {}

    def of_kind(kind: str) -> Source:
        if kind not in made:
            made[kind] = make_source(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return of_kind


@pytest.mark.parametrize("kind", KINDS)
def test_sequence_parameters_are_those_that_ffmpeg_reads(kind: str, source: GetSource) -> None:
    one = source(kind)
    sequence = one.configuration.sequence
    with av.open(str(one.recorded.path)) as container:
        context = container.streams.video[0].codec_context
        picture = next(container.decode(video=0))
    assert (sequence.width, sequence.height) == (context.width, context.height)
    assert sequence.profile == {"Main": 1, "Main 10": 2}[context.profile]
    assert sequence.bit_depth == picture.format.components[0].bits
    tagged = 1 if one.recorded.footage.colour_tagged else 2
    colour = sequence.colour
    assert [colour.primaries, colour.transfer, colour.matrix, colour.full_range] == [tagged] * 3 + [False]
    assert (picture.color_primaries, picture.color_trc, picture.colorspace) == (tagged, tagged, tagged)
    assert sequence.progressive
    ((_, entry),) = read_movie(one.recorded.path).video.entries
    record = dict(walk(entry[78:]))["hvcC"]
    assert sequence.level == record[12]
    assert one.configuration.pack()[:13] == record[:13]
    assert parse_hvcc(one.configuration.pack()) == one.configuration


def test_inter_predicted_reference_sets_are_skipped() -> None:
    """Behind them stands the usability information: colours are right only if they are skipped rightly."""
    bits = BitWriter()
    _begin_sps(bits)
    bits.ue(3)
    bits.ue(2), bits.ue(1)  # two before, one after
    for delta in (0, 3, 1):
        bits.ue(delta)
        bits.u(1, 1)
    bits.u(1, 1)  # predicted: -1 away; -1 -5 2 become -2 -6 1, and -1
    bits.u(1, 1), bits.ue(0)
    bits.u(0b1, 1), bits.u(0b01, 2), bits.u(0b00, 2), bits.u(0b1, 1)
    bits.u(1, 1)  # predicted from the three pictures that are left, and 0
    bits.u(0, 1), bits.ue(1)
    bits.u(0b1111, 4)
    bits.u(0b000, 3)  # no long-term pictures
    bits.u(1, 1)
    bits.u(0b00, 2)
    bits.u(0b1_101_1_1, 6)
    for value in (9, 16, 9):
        bits.u(value, 8)
    bits.u(0b0000, 4)
    sequence = parse_sps(bytes([SPS << 1, 1]) + escape(bits.payload())).parameters
    assert (sequence.width, sequence.height) == (64, 64)
    assert sequence.colour.full_range
    assert (sequence.colour.primaries, sequence.colour.transfer, sequence.colour.matrix) == (9, 16, 9)


def _begin_sps(bits: BitWriter) -> None:
    """Three temporal sub-layers, one with a profile, one with a level; up to the reference picture sets."""
    bits.u(0, 4), bits.u(2, 3), bits.u(1, 1)
    bits.u(1, 8), bits.u(0x60000000, 32), bits.u(0x9 << 44, 48), bits.u(93, 8)
    bits.u(0b10_01, 4), bits.u(0, 12)
    bits.u(0, 88), bits.u(60, 8)
    for value in (0, 1, 64, 64):
        bits.ue(value)
    bits.u(0, 1)
    for value in (0, 0, 4):
        bits.ue(value)
    bits.u(0, 1)
    for value in (4, 2, 0, 0, 1, 0, 3, 1, 1):
        bits.ue(value)
    bits.u(0b0000, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_pictures(kind: str, source: GetSource) -> None:
    one = source(kind)
    assert [number for number, sample in enumerate(one.samples) if is_entry(sample, 4)] == one.sync
    assert is_idr(one.samples[0], 4)
    open_group = "open-gop=1" in dict(one.recorded.footage.options)["x265-params"]
    for at, after in zip(one.sync[1:], [*one.sync[2:], len(one.samples)], strict=True):
        assert is_cra(one.samples[at], 4) == open_group
        early = leading(one.pts, at, len(one.samples))
        assert early == [
            number
            for number in range(at, after)
            if is_rasl(one.samples[number], 4) or is_radl(one.samples[number], 4)
        ]
        assert bool(early) == (open_group or kind == "radl")
        assert all(is_radl(one.samples[number], 4) for number in early) or open_group


@pytest.mark.parametrize("head", [1, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_a_splice_shows_every_picture_in_two_decoders(
    kind: str, head: int, source: GetSource, tmp_path: Path
) -> None:
    one = source(kind)
    at = one.sync[1]
    clip = splice(one, one.rank[at] - head, at, tmp_path / "clip.mp4")

    shown = decode(clip.path)
    assert [frame_number(frame) for frame in shown] == list(clip.numbers)
    assert clip.encoded == head
    for place, number in list(enumerate(clip.numbers))[head:]:
        assert planes(shown[place]) == planes(one.pictures[number]), f"frame {number} is not the camera's"
    heads = [one.pictures[number] for number in clip.numbers[:head]]
    assert min(psnr(heads, shown[:head], tmp_path / "psnr.log")) >= LEAST_PSNR_DB

    # libde265 1.0.11 loses leading pictures of a CRA picture that repeats parameter sets, those of untouched
    # recordings as well: it gets the sets once.
    bare = [without_sets(sample, 4) for sample in clip.head + clip.tail]
    assert libde265(annex_b(clip.configuration, bare), tmp_path) == b"".join(map(planes, shown))

    _check_sets(one, clip.head + clip.tail, clip.configuration.pack())
    assert not is_cra(clip.tail[0], 4)
    if is_cra(one.samples[at], 4):
        assert picture_kind(clip.tail[0], 4) == BLA_N_LP


def _check_sets(one: Source, samples: list[bytes], record: bytes) -> None:
    """Ids are unique, every slice's resolve, and sync samples bring what they need."""
    configuration = parse_hvcc(record)
    assert len(configuration.by_identifier) == sum(
        map(len, (configuration.vps, configuration.sps, configuration.pps))
    )
    parsed = [parse_sps(unit).parameters for unit in configuration.sps]
    assert len(parsed) == 2
    assert parsed[1].fits(parsed[0]) is None
    assert record[12] == max(sequence.level for sequence in parsed)
    for sample in samples:
        units = list(units_of(sample, 4))
        for kind, unit in units:
            if kind < 32:
                configuration.active_sets(slice_pps(unit))
        kinds = [kind for kind, _ in units]
        if is_entry(sample, 4):
            assert {VPS, SPS, PPS} <= set(kinds)
            assert collect_sets(unit for _, unit in units).active_sets(slice_pps(units[-1][1]))


def test_sets_come_behind_the_delimiter_and_go_again(source: GetSource) -> None:
    one = source("slices")
    sample = without_sets(one.samples[one.sync[1]], 4)
    kinds = [kind for kind, _ in units_of(with_sets(sample, one.configuration), 4)]
    assert kinds[:4] == [35, VPS, SPS, PPS]
    assert with_sets(with_sets(sample, one.configuration), one.configuration) == with_sets(
        sample, one.configuration
    )
    assert without_sets(with_sets(sample, one.configuration), 4) == sample


def test_prior_pictures_are_never_thrown_away(source: GetSource) -> None:
    """A CRA picture may say that they are, and decoders don't ask it; a BLA picture is asked."""
    one = source("slices")
    sample = one.samples[one.sync[1]]
    first = next(unit for kind, unit in units_of(sample, 4) if kind == CRA)
    with_flag = sample.replace(first, first[:2] + bytes([first[2] | 0x40]) + first[3:])
    assert cra_to_bla(with_flag, 4) == cra_to_bla(sample, 4)
    assert cra_to_bla(one.samples[0], 4) is one.samples[0]


def test_head_pictures_are_plain(source: GetSource) -> None:
    """No messages, delimiters or reordering: one slice or several, an IDR picture first."""
    one = source("b-frames")
    encoder = HevcEncoder(one.configuration.sequence, Fraction(30), one.configuration)
    samples = [data for data, _ in encoder.encode([*one.pictures[:5], encoder.black()])]
    assert len(samples) == 6
    assert [picture_kind(sample, 4) in IDR for sample in samples] == [True] + [False] * 5
    for sample in samples:
        assert {kind for kind, _ in units_of(sample, 4)} <= {VPS, SPS, PPS, 0, 1, *IDR}


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_noise_is_encoded_at_45_db_or_better(pixel_format: str, source: GetSource, tmp_path: Path) -> None:
    one = source("plain" if pixel_format == "yuv420p" else "main-10")
    dice = random.Random(1)
    frames = []
    for _ in range(4):
        frame = av.VideoFrame(320, 180, "yuv420p")
        for plane in frame.planes:
            plane.update(dice.randbytes(plane.buffer_size))
        frames.append(frame.reformat(format=pixel_format))
    encoder = HevcEncoder(one.configuration.sequence, Fraction(30), one.configuration)
    stream = tmp_path / "noise.hevc"
    stream.write_bytes(annex_b(encoder.configuration, [data for data, _ in encoder.encode(frames)]))
    assert min(psnr(frames, decode(stream), tmp_path / "psnr.log")) >= LEAST_PSNR_DB


def test_what_cannot_stand_beside_a_source_is_said(source: GetSource) -> None:
    found = source("plain").configuration
    assert splice_obstacle(found) is None
    assert "lengths" in str(splice_obstacle(replace(found, length_bytes=2)))
    general = bytearray(found.profile_tier_level)
    general[0] = 4
    sps = found.sps[0].replace(found.profile_tier_level[:1] + b"\x60", bytes(general[:1]) + b"\x60", 1)
    other = replace(found, sps=(sps,))
    assert "profile 4" in str(splice_obstacle(other))
    with pytest.raises(UnsupportedMedia, match="profile 4"):
        HevcEncoder(other.sequence, Fraction(30), other)


def test_ids_that_are_taken_are_not_used(source: GetSource) -> None:
    found = source("plain").configuration
    pps = found.pps + tuple(with_identifiers(found.pps[0], number, 0) for number in range(15, 30))
    assert replace(found, pps=pps).free_identifiers() == (1, 1, 30)
    full = replace(found, pps=(*pps, with_identifiers(found.pps[0], 30, 0)))
    with pytest.raises(UnsupportedMedia, match="every id"):
        full.free_identifiers()
    for unit in (*found.vps, *found.sps, *found.pps):
        changed = with_identifiers(unit, 3, 3)
        assert set_identifiers(changed) == (3, 3)
        assert with_identifiers(changed, 0, 0) == unit
    with pytest.raises(UnsupportedMedia, match="one id"):
        found + replace(found, pps=(found.pps[0] + b"\x80",))


def test_a_record_cut_off_anywhere_is_a_typed_error(source: GetSource) -> None:
    record = source("plain").configuration.pack()
    for size in range(len(record)):
        with pytest.raises(MediaError):
            parse_hvcc(record[:size])
    sps = source("plain").configuration.sps[0]
    for size in range(20):
        with pytest.raises(UnreadableRecording):
            parse_sps(sps[:size])


@given(st.data())
def test_mutated_bytes_are_read_or_a_typed_error(source: GetSource, data: st.DataObject) -> None:
    one = source("slices")
    original = data.draw(st.sampled_from([one.configuration.pack(), one.samples[one.sync[1]][:600]]))
    hostile = bytearray(original[: data.draw(st.integers(0, len(original)))])
    for _ in range(data.draw(st.integers(0, 4)) if hostile else 0):
        hostile[data.draw(st.integers(0, len(hostile) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MediaError):
        configuration = parse_hvcc(bytes(hostile))
        _ = configuration.sequence, configuration.by_identifier, splice_obstacle(configuration)
        configuration.pack()
    with suppress(MediaError):
        with_sets(cra_to_bla(bytes(hostile), 4), one.configuration)


@given(st.binary(max_size=400))
def test_any_bytes_as_a_sequence_parameter_set(content: bytes) -> None:
    with suppress(MediaError):
        parse_sps(bytes([SPS << 1, 1]) + content)


@given(st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 255]), max_size=60))
def test_emulation_prevention_goes_both_ways(content: list[int]) -> None:
    payload = bytes(content) + b"\x80"
    unit = escape(payload)
    assert unescape(unit) == payload
    assert not any(unit[at : at + 3] in {b"\0\0\0", b"\0\0\1", b"\0\0\2"} for at in range(len(unit)))


@given(st.lists(st.integers(0, 2**32 - 2), max_size=20))
def test_what_is_written_is_read(numbers: list[int]) -> None:
    bits = BitWriter()
    for number in numbers:
        bits.ue(number)
    reader = BitReader(bits.payload())
    assert [reader.ue() for _ in numbers] == numbers
    assert reader.rest() == (0, 0)
