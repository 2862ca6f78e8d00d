"""Random cuts that were wrong once: (seed, kind/set.place). A kind whose generator changes draws others."""

CUTS = (
    ("1", "mixed-structure/0.6"),  # heads at 43.7 dB
    ("7", "open-gop/0.2"),  # a whole clip encoded at 42.5 dB
    ("7", "overlaps/0.0"),  # a doubled frame just behind an overlap
    ("7", "sound-opus/0.0"),  # a last audio frame that FFmpeg leaves out
)
