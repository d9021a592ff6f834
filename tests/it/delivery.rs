//! From the spool to the next host: smapd's part, and the way through both programs.

use smap_tests::tests;

tests! {}
