"""What tests of the command line share with those of loading."""

from tests.integration.conftest import publisher as publisher
