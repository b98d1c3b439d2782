"""Artifacts by content, manifests and locks: what would be the same for any workflow."""
