// SPDX-License-Identifier: MPL-2.0

package job_test

import "testing"

// fleets makes a cluster of n nodes in one of the runtimes, as new.
type fleets func(t testing.TB, n int) *fleet

// suiteTest is what a runtime must do.
type suiteTest struct {
	name string
	test func(*testing.T, fleets)
}

// suite is what both runtimes must do.
func suite() []suiteTest {
	return []suiteTest{
		{"JobOnOneNode", testJobOnOneNode},
		{"PeekLeavesNoMark", testPeekLeavesNoMark},
		{"Scripts", testScripts},
		{"HiddenProcesses", testHiddenProcesses},
		{"RestartedSSHDLivesOn", testRestartedSSHDLivesOn},
		{"PendingSaysWhy", testPendingSaysWhy},
		{"Gang", testGang},
		{"GangDiesTogether", testGangDiesTogether},
		{"AllRanksStartOrNone", testAllRanksStartOrNone},
		{"Cancel", testCancel},
		{"SubmitIsIdempotent", testSubmitIsIdempotent},
		{"RemovedJobRunsAgain", testRemovedJobRunsAgain},
		{"CountsOfOldVersions", testCountsOfOldVersions},
		{"ReapWithoutTheHead", testReapWithoutTheHead},
		{"SubmissionMayBreakAnywhere", testSubmissionMayBreakAnywhere},
		{"WaitSurvivesLostConnections", testWaitSurvivesLostConnections},
		{"StatusNeverGuesses", testStatusNeverGuesses},
		{"WorkerLosesTheHead", testWorkerLosesTheHead},
		{"HeadLosesAWorker", testHeadLosesAWorker},
		{"SecretsLeaveNoTrace", testSecretsLeaveNoTrace},
		{"SecretsAreHiddenInLogs", testSecretsAreHiddenInLogs},
		{"ProgressBars", testProgressBars},
		{"LinesOfAGang", testLinesOfAGang},
		{"Queue", testQueue},
		{"Workdir", testWorkdir},
		{"Logs", testLogs},
		{"LogLimit", testLogLimit},
		{"LogLimitOfAGang", testLogLimitOfAGang},
		{"RecoverOnExitCodes", testRecoverOnExitCodes},
		{"BadSpecs", testBadSpecs},
		{"Outputs", testOutputs},
		{"EscapedProcessHoldsNothingUp", testEscapedProcessHoldsNothingUp},
		{"OldJobsArePruned", testOldJobsArePruned},
		{"RebootInSetup", testRebootInSetup},
		{"PhasesKeepTheirOrder", testPhasesKeepTheirOrder},
	}
}

// TestSSH is the suite in the ssh runtime.
func TestSSH(t *testing.T) {
	for _, tt := range suite() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, sshFleet)
		})
	}
}
