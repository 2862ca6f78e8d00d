"""FFmpeg's options against hostile files, each by its effect: with it an attack fails, without it not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from media.patched import box, full_box, patch
from media.truth import START_MS, Recorded, plan_cut, record

from clipline.contract.errors import EngineFailed, NoFrames, UnreadableRecording
from clipline.contract.interval import Interval
from clipline.media import untrusted
from clipline.media.bits import BitReader, BitWriter, escape, unescape
from clipline.media.cut import Candidate, prepare
from clipline.media.decoder import make_decoder, make_packet
from clipline.media.footage import Footage
from clipline.media.index import read_index
from clipline.media.limits import MediaLimits
from clipline.media.parameter_sets import parse_avcc, parse_sps
from clipline.media.ranges import LocalSource
from clipline.media.untrusted import BlockReader, open_untrusted
from clipline.media.video import configuration_record

SMALL = Footage(width=320, height=180, duration_s=2, container="mpegts")
SECRET = "secret.ts"
LISTS = {
    "concat": f"ffconcat version 1.0\nfile '{SECRET}'\n",
    "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{SECRET}\n#EXT-X-ENDLIST\n",
}


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("stream"), SMALL)[0]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Take options away."""

    def take_away(*names: str) -> None:
        left = {name: value for name, value in untrusted._OPTIONS.items() if name not in names}
        assert len(left) == len(untrusted._OPTIONS) - len(names), "the options are there to be taken away"
        monkeypatch.setattr(untrusted, "_OPTIONS", left)

    return take_away


@contextmanager
def opened(path: Path, demuxer: str) -> Iterator[av.container.InputContainer]:
    with open_untrusted(BlockReader(LocalSource(path)), demuxer) as container:
        yield container


def packets(path: Path, demuxer: str) -> int:
    with opened(path, demuxer) as container:
        return sum(1 for packet in container.demux() if packet.size)


@pytest.fixture(params=LISTS)
def playlist(
    request: pytest.FixtureRequest, stream: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Names a file beside it."""
    (tmp_path / SECRET).write_bytes(stream.path.read_bytes())
    monkeypatch.chdir(tmp_path)
    path = tmp_path / request.param
    path.write_text(LISTS[request.param])
    return path


@pytest.mark.parametrize("other", ["format_whitelist", "protocol_whitelist"])
def test_either_whitelist_alone_keeps_other_files_closed(other: str, playlist: Path, without) -> None:
    """Even if somebody named the demuxer of a playlist."""
    without(other)
    with pytest.raises(UnreadableRecording):
        packets(playlist, playlist.name)


def test_without_whitelists_a_playlist_opens_other_files(playlist: Path, without) -> None:
    """So that the test before means something."""
    without("format_whitelist", "protocol_whitelist")
    assert packets(playlist, playlist.name) > 100


@pytest.mark.parametrize("guarded", [True, False])
def test_codec_whitelist_keeps_ffmpeg_from_decoding(guarded: bool, stream: Recorded, without) -> None:
    if not guarded:
        without("codec_whitelist")
    with opened(stream.path, "mpegts") as container:
        context = container.streams.video[0].codec_context
        assert context.width == 320, "the parser reads that"
        assert (context.pix_fmt is None) == guarded, "only the decoder tells that"


@pytest.fixture
def many_streams(tmp_path: Path) -> Path:
    path = tmp_path / "many.ts"
    with av.open(str(path), "w", format="mpegts") as container:
        streams = [container.add_stream("mp2", rate=48_000, layout="mono") for _ in range(12)]
        frame = av.AudioFrame(format="s16", layout="mono", samples=1152)
        frame.rate = 48_000
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        for stream in streams:
            frame.pts = 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def test_max_streams_limits_what_a_file_may_claim(many_streams: Path, without) -> None:
    with pytest.raises(UnreadableRecording):
        packets(many_streams, "mpegts")
    without("max_streams")
    with opened(many_streams, "mpegts") as container:
        assert len(container.streams) == 12


def claiming(sps: bytes, width: int, height: int) -> bytes:
    """A sequence parameter set (progressive, without scaling lists) that claims other dimensions."""
    payload = unescape(sps[4:])
    bits = BitReader(payload)
    bits.ue()
    if sps[1] == 100:
        assert (bits.ue(), bits.ue(), bits.ue(), bits.u(2)) == (1, 0, 0, 0)
    bits.ue()
    assert bits.ue() == 2 or not bits.ue()  # pic_order_cnt_type 0 has one more field
    bits.ue()
    bits.u(1)
    made = BitWriter()
    made.u(int.from_bytes(payload, "big") >> bits._left, len(payload) * 8 - bits._left)
    bits.ue()
    bits.ue()
    made.ue(width // 16 - 1)
    made.ue(height // 16 - 1)
    made.u(*bits.rest())
    return sps[:4] + escape(made.payload())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("plain"), Footage(width=320, height=180, duration_s=2))[0]


def decoded(plain: Recorded, **limits: int) -> tuple[int, bool]:
    """(how many pictures of the first sample are decoded, whether FFmpeg complains of their size)"""
    track = read_index(LocalSource(plain.path)).video
    ((offset, size),) = track.locate(0, 1)
    decoder = make_decoder(track, **limits)
    decoder.thread_count = 1
    packet = make_packet(plain.path.read_bytes()[offset : offset + size])
    frames = []
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as messages, contextlib.suppress(av.FFmpegError):
            frames += [*decoder.decode(packet), *decoder.decode(None)]
    finally:
        av.logging.set_level(None)
    return len(frames), any("max pixel count" in text for _, _, text in messages)


def test_max_pixels_holds_for_the_decoder(plain: Recorded) -> None:
    assert decoded(plain, max_pixels=320 * 180 - 1) == (0, True)
    assert decoded(plain, max_pixels=512 * 256) == (1, False)


def test_a_claim_of_huge_pictures_allocates_nothing(plain: Recorded, tmp_path: Path) -> None:
    """16384x8192: 200 MB for each picture that the decoder keeps."""
    before = read_index(LocalSource(plain.path)).video
    (sps,) = parse_avcc(configuration_record(before.entry)).sps
    huge = claiming(sps, 16_384, 8_192)
    assert (parse_sps(huge).width, parse_sps(huge).progressive) == (16_384, True)
    assert parse_sps(huge).height in range(8_100, 8_193), "its cropping is left"

    def change(path: str, content: bytes) -> bytes | None:
        if not path.endswith("trak0/mdia/minf/stbl/stsd"):
            return None
        at = content.index(b"avcC") - 4
        size = int.from_bytes(content[at : at + 4], "big")
        record = content[at + 8 : at + size].replace(
            len(sps).to_bytes(2, "big") + sps, len(huge).to_bytes(2, "big") + huge
        )
        entry = content[16:at] + box("avcC", record) + content[at + size :]
        return full_box("stsd", 0, content[4:8], box("avc1", entry))

    patched = patch(plain, change)
    assert decoded(patched) == (0, True)
    assert decoded(patched, max_pixels=1 << 30) == (1, False), "so much would be allocated"
    interval = Interval(START_MS + 500, START_MS + 1_500)
    with pytest.raises(
        NoFrames, match=rf"{patched.path.name}: its pictures of 16384x\d+ .*MEDIA_PIXEL_LIMIT"
    ):
        plan_cut([patched], interval, tmp_path)


def test_a_clip_beyond_the_limit_is_refused_before_it_is_written(plain: Recorded, tmp_path: Path) -> None:
    candidates = [Candidate(LocalSource(plain.path), START_MS)]
    interval = Interval(START_MS + 500, START_MS + 1_500)
    cut = prepare(candidates, interval, tmp_path, limits=MediaLimits(output_bytes=1000))
    with pytest.raises(EngineFailed, match="MEDIA_OUTPUT_LIMIT_MIB"):
        cut.render(tmp_path / "clip.mp4")
    assert not (tmp_path / "clip.mp4").exists()


def test_pictures_at_the_limit_are_cut(plain: Recorded, tmp_path: Path) -> None:
    candidates = [Candidate(LocalSource(plain.path), START_MS)]
    interval = Interval(START_MS + 500, START_MS + 1_500)
    prepare(candidates, interval, tmp_path, limits=MediaLimits(pixels=320 * 180)).render(
        tmp_path / "clip.mp4"
    )
    with pytest.raises(NoFrames, match="320x180 have more than 57599 pixels"):
        prepare(candidates, interval, tmp_path, limits=MediaLimits(pixels=320 * 180 - 1))
