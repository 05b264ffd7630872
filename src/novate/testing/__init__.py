"""Public fakes and tools for tests: clocks, journals, disks, workloads and auditors."""
