#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""
Run a module of rdma-core's tests, in the folder "tests" beside this file, and
print its results as KTAP.

    run-unittest.py MODULE [OPTION]...

The options are those of rdma-core's own runner.
"""
import importlib
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def note(text):
    for line in text.splitlines():
        print('#', line)


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


def outcome(test):
    """Run a test. Returns if it is ok, and why it was skipped."""
    result = unittest.TestResult()
    test.run(result)
    for _, text in result.failures + result.errors:
        note(text)
    skips = [reason for _, reason in result.skipped]
    return result.wasSuccessful(), skips[0] if skips else None


def name_of(test):
    return '.'.join(test.id().split('.')[-2:])


def main():
    module = sys.argv.pop(1)
    # rdma-core's tests import args_parser without their package's name.
    sys.path[:0] = [HERE, os.path.join(HERE, 'tests')]
    importlib.import_module('args_parser').parser.parse_args()
    module = importlib.import_module('tests.' + module)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    tests = sorted(tests_of(suite), key=name_of)
    print('KTAP version 1')
    print(f'1..{len(tests)}', flush=True)
    failed = 0
    for number, test in enumerate(tests, 1):
        good, skip = outcome(test)
        failed += not good
        line = f'{"ok" if good else "not ok"} {number} {name_of(test)}'
        print(line + (f' # SKIP {skip}' if skip else ''), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
