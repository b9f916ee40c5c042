//! Programs that use p2pchat; see the files beside this one.
