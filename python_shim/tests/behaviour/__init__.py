"""The rules of the plugin, stated as 60 cases and held by every implementation of it."""
