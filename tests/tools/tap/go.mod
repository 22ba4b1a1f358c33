// What the programs in ../go and ../argo share, which need different releases of everything else.
module kapelle/tests/tools/tap

go 1.26
