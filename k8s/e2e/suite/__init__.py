"""The end-to-end suite: `stage` is what there is, `traffic` the outside client, the other modules hold the rows."""
