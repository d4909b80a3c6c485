"""Differential testing of two builds of a cpex plugin, apart or in one interpreter.

What is here knows nothing of retries. A plugin's own part is a `subject.Subject`: what scenarios
look like, how one build runs them, and what makes two runs differ. `retry_parity.subject` is that
of the retry plugin.
"""
