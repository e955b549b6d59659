"""A database engine built on PostgreSQL's, as an instrumented or a geographical one is: with compilers of its own."""
