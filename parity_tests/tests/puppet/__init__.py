"""A build that does as its scenario says, so that a test can have it do anything.

It is no cpex plugin and imports the standard library only: its interpreter starts in an instant.
"""
