"""Another plugin that is migrated: it masks words in tool results. Two versions, one has a bug."""
