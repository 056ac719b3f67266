"""The made part of tests/truth: our own words, written as files by several programs. See scripts/make_truth.py."""
