"""An application of the tests: models of the shapes and with the names that the clinic domain does not have."""
