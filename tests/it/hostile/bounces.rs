use smap_tests::tests;
tests! {}
