package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Command is command:remote:Command.
type Command struct{}

func (c *Command) Annotate(a infer.Annotator) { a.SetToken("remote", "Command") }

type CommandInputs struct {
	Connection             Connection        `pulumi:"connection" provider:"secret"`
	Create                 *string           `pulumi:"create,optional"`
	Update                 *string           `pulumi:"update,optional"`
	Delete                 *string           `pulumi:"delete,optional"`
	Stdin                  *string           `pulumi:"stdin,optional"`
	Triggers               *[]any            `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Environment            map[string]string `pulumi:"environment,optional"`
	Logging                *string           `pulumi:"logging,optional"`
	AddPreviousOutputInEnv *bool             `pulumi:"addPreviousOutputInEnv,optional"`
}

func (i *CommandInputs) Annotate(a infer.Annotator) { a.SetDefault(&i.AddPreviousOutputInEnv, true) }

type CommandOutputs struct {
	CommandInputs
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
}

var loggingModes = []string{"stdout", "stderr", "stdoutAndStderr", "none"}

// Check refuses what the original does, and also a connection without a host key. It gives errors where failures would
// do, because the engine prints the value of the input beside a failure, and the connection holds a private key.
func (*Command) Check(ctx context.Context, request infer.CheckRequest) (infer.CheckResponse[CommandInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CommandInputs](ctx, request.NewInputs)
	problems := []error{err}
	for _, failure := range failures {
		problems = append(problems, fmt.Errorf("%s: %s", failure.Property, failure.Reason))
	}
	if connection := request.NewInputs.Get("connection"); connection.IsMap() && connection.AsMap().Get("hostKey").IsNull() {
		problems = append(problems, errors.New("connection.hostKey is missing; pin it, as a line of authorized_keys"))
	}
	if mode := request.NewInputs.Get("logging"); mode.IsString() && !slices.Contains(loggingModes, mode.AsString()) {
		problems = append(problems, fmt.Errorf("logging must be one of %s", strings.Join(loggingModes, ", ")))
	}
	return infer.CheckResponse[CommandInputs]{Inputs: inputs}, errors.Join(problems...)
}

func (*Command) Create(
	ctx context.Context, request infer.CreateRequest[CommandInputs],
) (infer.CreateResponse[CommandOutputs], error) {
	response := infer.CreateResponse[CommandOutputs]{Output: CommandOutputs{CommandInputs: request.Inputs}}
	var err error
	if response.ID, err = resource.NewUniqueHex(request.Name, 8, 0); err != nil {
		return response, err
	}
	if request.DryRun {
		return response, nil
	}
	return response, response.Output.run(ctx, request.Inputs.Create)
}

func (*Command) Update(
	ctx context.Context, request infer.UpdateRequest[CommandInputs, CommandOutputs],
) (infer.UpdateResponse[CommandOutputs], error) {
	output := request.State
	output.CommandInputs = request.Inputs
	script := request.Inputs.Create
	if request.Inputs.Update != nil {
		script = request.Inputs.Update
	}
	if !request.DryRun {
		if err := output.run(ctx, script); err != nil {
			return infer.UpdateResponse[CommandOutputs]{}, err
		}
	}
	return infer.UpdateResponse[CommandOutputs]{Output: output}, nil
}

func (*Command) Delete(
	ctx context.Context, request infer.DeleteRequest[CommandOutputs],
) (infer.DeleteResponse, error) {
	return infer.DeleteResponse{}, request.State.run(ctx, request.State.Delete)
}
