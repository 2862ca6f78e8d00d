"""Random cuts that were wrong once: (seed, kind/set.place, mode).

A kind whose generator changes draws others.
"""

CUTS = (
    ("1", "mixed-structure/0.6", "exact"),  # heads at 43.7 dB
    ("7", "open-gop/0.2", "exact"),  # a whole clip encoded at 42.5 dB
    ("7", "overlaps/0.0", "exact"),  # a doubled frame just behind an overlap
    ("7", "sound-opus/0.0", "exact"),  # a last audio frame that FFmpeg leaves out
    ("m2", "hevc-10-bit/0.2", "exact"),  # ten bits encoded with eight, at 44.7 dB
    ("t1", "open-gop/1.18", "keyframe"),  # a hidden first picture, for the one asked is decoded before others
    ("final-2", "mixed-structure/0.2", "exact"),  # full range shown as limited
)
