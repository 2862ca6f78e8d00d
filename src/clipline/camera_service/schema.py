"""The tables of the catalog, and how older files become newer ones."""

from __future__ import annotations

APPLICATION_ID = 0x434C5043
""""CLPC": what tells the catalog's file from another program's database."""

MIGRATIONS = (
    (
        """
        CREATE TABLE cameras (
            id    TEXT PRIMARY KEY,      -- the cameraId of requests
            alias TEXT NOT NULL UNIQUE,  -- names the camera in file names, folders and URLs
            name  TEXT NOT NULL          -- for people
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE recordings (
            camera     TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
            name       TEXT NOT NULL,     -- file name, the last part of recordingUrl
            path       TEXT NOT NULL,     -- of the file on this machine, absolute
            start_ms   INTEGER NOT NULL,  -- first instant shown, since the epoch, UTC
            end_ms     INTEGER NOT NULL,  -- first instant no longer shown
            size_bytes INTEGER NOT NULL,  -- of the file when it was read: another size is another file
            PRIMARY KEY (camera, name),
            CHECK (start_ms < end_ms)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX recordings_by_time ON recordings (camera, end_ms, start_ms)",
        """
        CREATE TABLE clips (
            clip_id    TEXT PRIMARY KEY,
            metadata   TEXT NOT NULL,    -- the JSON document as it was PUT
            status     TEXT NOT NULL,    -- out of the document; CLIP_AVAILABLE never changes again
            updated_ms INTEGER NOT NULL  -- when it was PUT, since the epoch, UTC
        ) STRICT, WITHOUT ROWID
        """,
    ),
    (
        # Recordings are found again; what people said of cameras, and clips, stay.
        "DROP TABLE recordings",
        "ALTER TABLE cameras RENAME TO cameras_1",
        """
        CREATE TABLE cameras (
            number     INTEGER PRIMARY KEY,         -- stands for the camera in millions of rows
            id         TEXT NOT NULL UNIQUE,        -- the cameraId of requests
            alias      TEXT NOT NULL UNIQUE,        -- names the camera in file names, folders and URLs
            name       TEXT NOT NULL,               -- for people
            recordings INTEGER NOT NULL DEFAULT 0,  -- how many there are: counting millions takes too long
            longest_ms INTEGER NOT NULL DEFAULT 0   -- no recording was ever longer: bounds what is looked at
        ) STRICT
        """,
        "INSERT INTO cameras (id, alias, name) SELECT id, alias, name FROM cameras_1",
        "DROP TABLE cameras_1",
        """
        CREATE TABLE folders (
            number INTEGER PRIMARY KEY,
            path   TEXT NOT NULL UNIQUE  -- below the root of recordings, '' for the root itself
        ) STRICT
        """,
        """
        CREATE TABLE recordings (
            number      INTEGER PRIMARY KEY,
            camera      INTEGER NOT NULL REFERENCES cameras ON DELETE CASCADE,
            name        TEXT NOT NULL,     -- the last part of recordingUrl
            folder      INTEGER NOT NULL REFERENCES folders,
            file        TEXT,              -- in that folder; NULL: the same as name
            start_ms    INTEGER NOT NULL,  -- first instant shown, since the epoch, UTC
            end_ms      INTEGER NOT NULL,  -- first instant no longer shown
            size_bytes  INTEGER NOT NULL,  -- when it was read: another size, or time, is another file
            modified_ns INTEGER NOT NULL,  -- since the epoch
            told_by     TEXT NOT NULL,     -- where its start comes from: name, creation_time or modified
            UNIQUE (camera, name),
            CHECK (start_ms < end_ms)
        ) STRICT
        """,
        # By the end, because most clips are asked for soon after: what ended before is never looked at.
        "CREATE INDEX recordings_by_time ON recordings (camera, end_ms, start_ms)",
        "CREATE INDEX recordings_by_folder ON recordings (folder)",
        """
        CREATE TRIGGER recording_added AFTER INSERT ON recordings BEGIN
            UPDATE cameras SET recordings = recordings + 1,
                longest_ms = max(longest_ms, new.end_ms - new.start_ms) WHERE number = new.camera;
        END
        """,
        """
        CREATE TRIGGER recording_changed AFTER UPDATE OF start_ms, end_ms ON recordings BEGIN
            UPDATE cameras SET longest_ms = max(longest_ms, new.end_ms - new.start_ms)
            WHERE number = new.camera;
        END
        """,
        """
        CREATE TRIGGER recording_removed AFTER DELETE ON recordings BEGIN
            UPDATE cameras SET recordings = recordings - 1 WHERE number = old.camera;
        END
        """,
        # What the document says, to find clips by; '' and 0 where it says nothing.
        "ALTER TABLE clips ADD COLUMN camera_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE clips ADD COLUMN start_ms INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE clips ADD COLUMN end_ms INTEGER NOT NULL DEFAULT 0",
        # When it was asked for last, or PUT first, since the epoch, UTC.
        "ALTER TABLE clips ADD COLUMN requested_ms INTEGER NOT NULL DEFAULT 0",
        # The message that asks for it and has to be put on the queue yet; NULL: none.
        "ALTER TABLE clips ADD COLUMN unsent TEXT",
        # Stages of the delivery in progress, separated by spaces, the last one not done; '': none is.
        "ALTER TABLE clips ADD COLUMN stages TEXT NOT NULL DEFAULT ''",
        # How often its message was received by then, from 1.
        "ALTER TABLE clips ADD COLUMN delivery INTEGER NOT NULL DEFAULT 0",
        # Of its objects together, as far as known.
        "ALTER TABLE clips ADD COLUMN size_bytes INTEGER",
        # 1: it is being deleted; 2: it was. Kept, since its message may still come.
        "ALTER TABLE clips ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0",
        """
        UPDATE clips SET requested_ms = updated_ms,
            camera_id = coalesce(CAST(json_extract(metadata, '$.cameraId') AS TEXT), ''),
            start_ms = coalesce(CAST(json_extract(metadata, '$.startTimestampInMs') AS INTEGER), 0),
            end_ms = coalesce(CAST(json_extract(metadata, '$.endTimestampInMs') AS INTEGER), 0)
        """,
        "CREATE INDEX clips_by_request ON clips (deleted, requested_ms, clip_id)",
    ),
    ("CREATE INDEX clips_unsent ON clips (clip_id) WHERE unsent IS NOT NULL",),
)
"""Entry *n* leads from ``PRAGMA user_version`` *n* to *n* + 1. Entries are only ever added."""
