"""The gears of the suite: `pytest` alone runs the unit tests; the other gears have a marker each.

| gear | command | what it holds |
|---|---|---|
| unit | `pytest` | small networks in memory; under 90 s on one core |
| conformance | `pytest -m conformance` | ONNX's node suite, every opset, typical architectures |
| slow | `pytest -m slow` | training, processes, engines, real networks, the commands of README and documentation |
| differential | `pytest -m differential` | random graphs against the original |
| all | `pytest -m ""` | everything, as in continuous integration |
"""

from __future__ import annotations

CONFORMANCE = {
    "tests/execute/test_node_suite.py",
    "tests/execute/test_real_networks.py",
    "tests/onnx_files/test_opsets.py",
    "tests/test_architectures.py",
}
SLOW = {  # files, and tests of other files that take two seconds or more
    "tests/placement/test_place.py",
    "tests/targets/test_streaming.py",
    "tests/test_cli_hardware.py",
    "tests/test_docs.py",
    "tests/test_fault_matrix.py",
    "tests/test_faults.py",
    "tests/test_frontier.py",
    "tests/test_killed.py",
    "tests/test_large.py",
    "tests/test_long_runs.py",
    "tests/test_random_graphs.py",
    "tests/test_readme.py",
    "tests/test_real_networks.py",
    "tests/training/test_checkpoint.py",
    "tests/training/test_batch_norm_reinsertion.py",
    "tests/training/test_other_teacher.py",
    "tests/training/test_parallel.py",
    "tests/training/test_torch_trainer.py",
    "test_a_classifier_in_half_precision_is_trained_on_eight_batches",
    "test_a_classifier_of_words_compiles",
    "test_a_command_is_run_on_parts_and_fails_as_on_the_whole",
    "test_a_legal_name_is_legal",
    "test_a_listing_that_cannot_be_written_is_one_line",
    "test_a_network_as_it_comes_is_computed_tile_by_tile",
    "test_a_network_on_which_onnxruntime_ends_its_process_is_compiled_around",
    "test_eight_samples_do_not_destroy_a_network",
    "test_files_that_may_not_grow_are_one_line_too",
    "test_graphviz_takes_it",
    "test_groups_of_a_state_go_in_both_directions",
    "test_klayout_finds_the_connectivity_of_the_netlist",
    "test_lenet_is_as_accurate_on_mnist_as_stated",
    "test_many_samples_of_one_class_are_few",
    "test_memory_that_comes_where_a_file_was_mapped_stays_as_it_is",
    "test_mixed_test_labels_change_nothing_but_the_test_accuracy",
    "test_more_members_than_two_bytes_count",
    "test_three_thousand_matrices_stay_below_five_megabytes",
    "test_with_data_the_accuracy_stays_in_the_budget_and_equal_seeds_give_equal_files",
}


def gear_of(file: str, test: str) -> str | None:
    """Return the marker of a test, given its file and the name of its function; None for a unit test."""
    if file in CONFORMANCE:
        return "conformance"
    return "slow" if file in SLOW or test in SLOW else None
