"""Images on disk and on grids: files and grids in, arrays out, and the reverse."""
