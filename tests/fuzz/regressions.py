"""Hostile recordings that were cut wrong once: (seed, level/kind/number).

A mutator or a kind of recording that changes draws others.
"""

CASES = (
    ("dev2", "units/mp4/487"),  # a level that there is none of: the encoder's own exception
    ("dev2", "boxes/matroska-hevc/1426"),  # a codec that FFmpeg has no decoder of: AttributeError
    ("dev2", "boxes/mpegts-b/1603"),  # a damaged time of an audio frame moved the recording's zero
    ("dev2", "boxes/mpegts/1584"),  # the same, beyond the clock's end
    ("dev2", "units/b-frames/1953"),  # B-frames encoded that lean on a damaged picture shown after them
    ("dev2", "raw/mpegts-hevc/194"),  # HEVC whose damage the decoder knew of and did not tell
    (
        "dev2",
        "units/b-frames/2427",
    ),  # an IDR picture in the middle: what is encoded leans on none that is there
    ("dev3", "units/fragmented-b/302"),  # a picture that others lean on said to be disposable, and left out
    ("fuzz-2", "boxes/edit-list/4881"),  # an edit list in a box where only some readers look for it
    ("fuzz-7", "boxes/edit-list/2498"),  # the same, in the sample table
    ("fuzz-8", "boxes/b-frames/1940"),  # an edit list that claims to be empty
    ("fuzz-3", "units/fragmented-b/65"),  # two pictures in one sample
    ("fuzz-3", "units/b-frames/1462"),  # an IDR picture behind a slice that nothing leans on: it was left out
    ("fuzz-4", "boxes/mpegts-hevc/904"),  # a damaged time, and those behind it taken for a day later
    ("fuzz-6", "raw/mpegts-hevc/4277"),  # packets lost, and by chance a counter that was taken to go on
    ("fuzz-8", "boxes/fragmented/4360"),  # pictures five hours apart: a clip of five hours of silence
    ("fuzz-3", "boxes/fragmented-b/780"),  # a last picture that is said to last for a day
)
