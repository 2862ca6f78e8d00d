"""The only package that imports av: reading recordings, planning and making the cut."""
