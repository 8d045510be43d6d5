"""Formats of other trainers: readers and writers of their files."""
