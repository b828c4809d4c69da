#!/bin/sh
# From nothing to a table, a figure and a LaTeX file in which a network of your own stands out, within five minutes.
# Run it in an empty folder; then put your network into net.py, and data and a real budget into the protocol.
set -e
spinbench new my-paper
spinbench validate net.py:Net
spinbench run my-paper.yaml --protocol my-paper-protocol.yaml
spinbench report --protocol my-paper-protocol.yaml
spinbench tradeoff my-paper.yaml --protocol my-paper-protocol.yaml --output fig.pdf
