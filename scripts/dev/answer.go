// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// answer is what the job finds out about the primes it is given.
type answer struct {
	Primes int `json:"primes"`
	Sum    int `json:"sum"`
	Twins  int `json:"twins"`
}

// known is what mathematics says of the primes below 100,000; a test computes
// it anew.
var known = answer{Primes: 9592, Sum: 454396537, Twins: 1224}

// checkAnswer prints what the job brought back and compares it with what is
// known.
func (q *quickstart) checkAnswer(ctx context.Context) error {
	out, err := q.terraformOutput(ctx)
	if err != nil {
		return err
	}
	q.say("%s", out)
	got, err := parseAnswer(out)
	if err != nil {
		return err
	}
	if got != known {
		return fmt.Errorf("the job's answer is wrong: it says %+v, known is %+v", got, known)
	}
	q.say("    %d primes, their sum %d, %d pairs of twins: as known", got.Primes, got.Sum, got.Twins)
	return nil
}

// parseAnswer reads the example's outputs from "output -json".
func parseAnswer(out []byte) (answer, error) {
	var outputs struct {
		Total   struct{ Value *answer }
		Correct struct{ Value bool }
	}
	if err := json.Unmarshal(out, &outputs); err != nil {
		return answer{}, fmt.Errorf("reading the outputs: %w", err)
	}
	if outputs.Total.Value == nil {
		return answer{}, errors.New("the example has no output total")
	}
	if *outputs.Total.Value == known && !outputs.Correct.Value {
		return answer{}, errors.New("the output correct is false although the total is right")
	}
	return *outputs.Total.Value, nil
}
