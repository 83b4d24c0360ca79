"""Runs rendered manifests under a Docker engine, as a cluster would: what a schema can't show, shows here."""
