"""The services that airq is measured against, each set up for its own best."""
